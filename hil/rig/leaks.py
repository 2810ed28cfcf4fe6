"""Looks for somebody's template, or a piece of their picture, in any bytes: files, core files, what went over a wire.

A marker is a row of numbers: one vector of a template, as it is or turned by a purpose's rotation, or one row or column
of a picture, read either way. It is found by its shape, not by its bytes: in every number format, at any offset and
alignment, at any scale and offset, rounded, quantised or with some noise, printed as decimals, and behind base64, hex
digits, zlib, gzip and zstd, one behind the other.

How it is found: of the row, 16 pairs of places are kept whose numbers differ most; where the data is in their order,
which one place in 65,536 is by chance, the correlation decides.

What it does not find: less than a whole vector or row of at least 64 numbers; what is encrypted, which is why the
rotated form is looked for and the sealed one is not; a format or packing that is not listed. `tests/rig/test_leaks.py`
plants every listed form and looks for it first.
"""

import base64
import binascii
import contextlib
import mmap
import re
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import zstandard
from numpy.typing import NDArray

from firmware.gallery.transform import Transform
from firmware.vision.embed import MODALITIES
from firmware.vision.templates import VIEWS, Templates

SHORTEST = 64
PAIRS = 16
SURE = 0.9
"""Correlation from which on it is the marker. Of 64 unrelated numbers it is 0.125 from zero, one standard deviation."""
LARGEST = 1e6
BLOCK_BYTES = 1 << 17
"""Searched at a time: it stays in the processor's cache."""
DEPTH = 3
"""Coats that are taken off, one behind the other."""
MAX_UNPACKED_BYTES = 64 * 1024 * 1024

_ENCODED = 128
_BASE64 = re.compile(rb"[A-Za-z0-9+/_\-\r\n]{%d,}={0,2}" % _ENCODED)
_HEX = re.compile(rb"[0-9a-fA-F\r\n]{%d,}" % _ENCODED)
_PACKED: tuple[tuple[str, re.Pattern[bytes], Callable[[], Any]], ...] = (
    ("zlib", re.compile(rb"\x78[\x01\x5e\x9c\xda]"), zlib.decompressobj),
    ("gzip", re.compile(rb"\x1f\x8b\x08"), lambda: zlib.decompressobj(wbits=31)),
    ("zip", re.compile(rb"PK\x03\x04[\s\S]{4}\x08\x00"), lambda: zlib.decompressobj(wbits=-15)),
    ("zstd", re.compile(rb"\x28\xb5\x2f\xfd"), lambda: zstandard.ZstdDecompressor().decompressobj()),
)
_PICTURE = re.compile(rb"\x89PNG\r\n\x1a\n|\xff\xd8\xff")
_DECIMAL = re.compile(rb"[-+]?\d+(?:\.\d*)?(?:[eE][-+]?\d{1,3})?")


@dataclass(frozen=True, slots=True)
class Format:
    """How numbers lie in memory or on a wire: type, and bytes from one to the next, the number at their end."""

    name: str
    dtype: str
    stride: int


FORMATS = (
    Format("int8", "i1", 1),
    Format("uint8", "u1", 1),
    Format("uint16", "<u2", 2),
    Format("float16", "<f2", 2),
    Format("float32", "<f4", 4),
    Format("float64", "<f8", 8),
    Format("float32 big-endian", ">f4", 4),
    Format("float32 of MessagePack or CBOR", ">f4", 5),
    Format("float64 of MessagePack or CBOR", ">f8", 9),
)


@dataclass(frozen=True)
class Marker:
    """A row of numbers to be looked for.

    Attributes:
        name: what it is a piece of.
        row: (n,) float64, mean 0, length 1.
        pairs: (PAIRS, 2) places; the first of each holds the greater number.
    """

    name: str
    row: NDArray[np.float64]
    pairs: NDArray[np.intp]

    @classmethod
    def of(cls, name: str, numbers: NDArray[Any]) -> "Marker":
        """A marker of at least `SHORTEST` numbers that are not all alike."""
        row = np.asarray(numbers, np.float64)
        row = row - row.mean()
        length = float(np.linalg.norm(row))
        if row.ndim != 1 or len(row) < SHORTEST or length < 1e-9:
            raise ValueError(f"{name}: {row.shape} numbers of length {length:g} are no marker")
        order = np.argsort(row)
        return cls(name, row / length, np.stack([order[::-1][:PAIRS], order[:PAIRS]], axis=1))


@dataclass(frozen=True, slots=True)
class Leak:
    """A marker that was found: which, where, behind which coats and in which format, at which offset in there."""

    marker: str
    where: str
    form: str
    offset: int


def template_markers(templates: Templates, turned_by: Mapping[str, Transform]) -> list[Marker]:
    """Every vector of a template, as it is and as each purpose's rotation turns it."""
    forms = {"": templates}
    for purpose, transform in turned_by.items():
        forms[f", turned for {purpose}"] = turned = np.empty_like(templates)
        transform.turn(templates, turned)
    return [
        Marker.of(f"template {modality} {view}{how}", values[i, j])
        for how, values in forms.items()
        for i, modality in enumerate(MODALITIES)
        for j, view in enumerate(VIEWS)
        if values[i, j].any()
    ]


def picture_markers(name: str, picture: NDArray[Any], every: int = 16) -> list[Marker]:
    """Every so many rows and columns of an (H, W) picture, both ways round: it may have been turned or mirrored."""
    found = []
    for axis, lines in (("row", picture), ("column", picture.T)):
        for i in range(every // 2, len(lines), every):
            found += [
                Marker.of(f"{name} {axis} {i}", lines[i]),
                Marker.of(f"{name} {axis} {i} backwards", lines[i][::-1]),
            ]
    return found


class Detector:
    """Looks for markers. `formats` are those that numbers may lie in."""

    def __init__(self, markers: Sequence[Marker], formats: Sequence[Format] = FORMATS) -> None:
        self._markers, self._formats = tuple(markers), tuple(formats)

    def search(self, data: bytes | mmap.mmap, where: str) -> list[Leak]:
        """Everything that is found in `data`, at most once for each marker and form."""
        found: dict[tuple[str, str], Leak] = {}
        for coats, plain in peeled(data):
            for form, offset, marker in self._numbers(plain):
                leak = Leak(marker, where, " of ".join((form, *coats)), offset)
                found.setdefault((marker, leak.form), leak)
        return list(found.values())

    def search_file(self, path: Path) -> list[Leak]:
        """The same of a whole file."""
        if path.stat().st_size == 0:
            return []
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return self.search(data, str(path))

    def search_folder(self, folder: Path) -> list[Leak]:
        """The same of every file below a folder."""
        files = sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
        return [leak for path in files for leak in self.search_file(path)]

    def _numbers(self, data: bytes | mmap.mmap) -> Iterator[tuple[str, int, str]]:
        """Yield (format, offset, marker) of what is found in one coat."""
        for begin, end in _inhabited(data):
            piece = data[begin:end]
            for form in self._formats:
                for phase in range(form.stride):
                    values = _values(piece, form, phase)
                    for at, marker in self._rows(values):
                        yield form.name, begin + phase + at * form.stride, marker
        printed = _finite(np.array([float(number[0]) for number in _DECIMAL.finditer(data)]))
        for at, marker in self._rows(printed):
            yield "decimals", at, marker

    def _rows(self, values: NDArray[Any]) -> Iterator[tuple[int, str]]:
        for marker in self._markers:
            for at in _places(values, marker):
                yield int(at), marker.name


def peeled(data: bytes | mmap.mmap, depth: int = DEPTH) -> Iterator[tuple[tuple[str, ...], bytes | mmap.mmap]]:
    """Yield `data` and everything that is unpacked from it, each with the names of the coats that were taken off."""
    yield (), data
    if depth == 0:
        return
    for coat, inner in _unpacked(data):
        for coats, plain in peeled(inner, depth - 1):
            yield (*coats, coat), plain


def _unpacked(data: bytes | mmap.mmap) -> Iterator[tuple[str, bytes]]:
    for match in _BASE64.finditer(data):
        text = re.sub(rb"[\r\n=]", b"", match[0]).replace(b"-", b"+").replace(b"_", b"/")
        for phase in range(4):
            usable = text[phase:]
            yield "base64", base64.b64decode(usable[: len(usable) & ~3])
    for match in _HEX.finditer(data):
        digits = re.sub(rb"[\r\n]", b"", match[0])
        for phase in range(2):
            usable = digits[phase:]
            yield "hex", binascii.unhexlify(usable[: len(usable) & ~1])
    for coat, begins, unpacker in _PACKED:
        for match in begins.finditer(data):
            at = match.start()
            if coat == "zip":  # behind the name and the extra field, whose lengths stand at 26 and 28
                lengths = data[at + 26 : at + 30]
                at += 30 + int.from_bytes(lengths[:2], "little") + int.from_bytes(lengths[2:], "little")
            inner = _unpack(data, at, unpacker())
            if len(inner) >= SHORTEST:
                yield coat, inner
    for match in _PICTURE.finditer(data):
        rest = np.frombuffer(data[match.start() : match.start() + MAX_UNPACKED_BYTES], np.uint8)
        picture = cv2.imdecode(rest, cv2.IMREAD_UNCHANGED)
        if picture is not None:
            yield "picture", picture.tobytes()


def _unpack(data: bytes | mmap.mmap, at: int, unpacker: Any) -> bytes:
    """As much as unpacks from `at` on; a stream that breaks off gives what came before."""
    found = bytearray()
    with contextlib.suppress(zlib.error, zstandard.ZstdError):
        while at < len(data) and len(found) < MAX_UNPACKED_BYTES and not unpacker.eof:
            found += unpacker.decompress(data[at : at + 256])
            at += 256
    return bytes(found)


def _inhabited(data: bytes | mmap.mmap, block: int = BLOCK_BYTES, overlap: int = 1 << 13) -> Iterator[tuple[int, int]]:
    """(begin, end) of pieces that overlap by more than any marker is long, without those that hold only zeros."""
    zeros = bytes(block + overlap)
    for begin in range(0, len(data), block):
        end = min(len(data), begin + block + overlap)
        if data[begin:end] != zeros[: end - begin]:
            yield begin, end


def _values(piece: bytes, form: Format, phase: int) -> NDArray[Any]:
    """The numbers of a piece, its first `phase` bytes left out; native, none that is no number."""
    dtype = np.dtype(form.dtype)
    count = max(0, len(piece) - phase) // form.stride
    at_end = np.dtype(
        {"names": ["v"], "formats": [dtype], "offsets": [form.stride - dtype.itemsize], "itemsize": form.stride}
    )
    values = np.frombuffer(piece, at_end, count, min(phase, len(piece)))["v"]
    if dtype.kind != "f":
        return np.ascontiguousarray(values)
    return _finite(values)


def _finite(values: NDArray[Any]) -> NDArray[np.float32]:
    """As float32; what is no number, or too large for one of a template or a picture, becomes 0."""
    with np.errstate(invalid="ignore", over="ignore"):
        single = values.astype(np.float32)
        single[~(np.abs(single) < LARGEST)] = 0
    return single


def _places(values: NDArray[Any], marker: Marker) -> NDArray[np.intp]:
    """Where `values` go as the marker goes."""
    count = len(values) - len(marker.row) + 1
    if count <= 0:
        return np.empty(0, np.intp)
    alike = np.ones(count, bool)
    for high, low in marker.pairs[:6]:
        alike &= values[high : high + count] > values[low : low + count]
    places = np.flatnonzero(alike)
    if len(places):
        high, low = marker.pairs[6:].T
        places = places[(values[places[:, None] + high] > values[places[:, None] + low]).all(axis=1)]
    if not len(places):
        return places
    windows = values[places[:, None] + np.arange(len(marker.row))].astype(np.float64)
    windows -= windows.mean(axis=1, keepdims=True)
    return np.asarray(places[windows @ marker.row > SURE * np.linalg.norm(windows, axis=1)])
