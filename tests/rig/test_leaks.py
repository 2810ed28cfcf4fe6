"""The detector of leaks, proven: each form of a template and of a picture is planted and found, and nothing else is."""

import base64
import gzip
import io
import json
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cbor2
import cv2
import msgspec
import numpy as np
import pytest
import zstandard
from numpy.typing import NDArray

from firmware.gallery.transform import Transform
from firmware.vision.templates import TEMPLATE_SHAPE, Templates
from hil.rig.leaks import BLOCK_BYTES, Detector, picture_markers, template_markers

Form = Callable[[NDArray[Any]], bytes]
AS_IT_IS = "as it is"
ASKED = ("raw", "base64", "zlib", "float16", "int8", "JSON")
"""Forms that are looked for in every way a template or a picture may be held; the others once."""
PURPOSES = ("payment", "door")
random = np.random.default_rng(8)


def _template() -> Templates:
    values = random.standard_normal(TEMPLATE_SHAPE).astype(np.float32)
    return np.asarray(values / np.linalg.norm(values, axis=2, keepdims=True), np.float32)


def _picture() -> NDArray[np.uint8]:
    """(112, 112) uint8, as smooth as a face."""
    smooth = cv2.GaussianBlur(random.standard_normal((112, 112)), (0, 0), 4)
    return np.asarray(20 + 210 * (smooth - smooth.min()) / np.ptp(smooth), np.uint8)


TEMPLATE, PICTURE = _template(), _picture()
TURNS = {purpose: Transform(purpose.encode().ljust(32, b"-"), purpose) for purpose in PURPOSES}


def _quantised(values: NDArray[Any]) -> bytes:
    centred = values - values.mean()
    return bytes(np.round(127 * centred / np.abs(centred).max()).astype(np.int8).tobytes())


def _zipped(values: NDArray[Any]) -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, templates=values)
    return file.getvalue()


def _printed(values: NDArray[Any]) -> bytes:
    return f"2026-11-23T10:00:00Z core INFO seen {np.asarray(values, np.float32)!r}\n".encode()


FORMS: dict[str, Form] = {
    "raw": lambda values: values.tobytes(),
    "float16": lambda values: values.astype(np.float16).tobytes(),
    "int8": _quantised,
    "float64": lambda values: values.astype(np.float64).tobytes(),
    "big-endian": lambda values: values.astype(">f4").tobytes(),
    "scaled": lambda values: (values.astype(np.float32) * 37 + 5).tobytes(),
    "base64": lambda values: base64.b64encode(values.tobytes()),
    "base64 in lines": lambda values: base64.encodebytes(values.tobytes()),
    "base64 for addresses": lambda values: b"q=" + base64.urlsafe_b64encode(values.tobytes()),
    "base64 of float16": lambda values: base64.b64encode(values.astype(np.float16).tobytes()),
    "base64 of int8": lambda values: base64.b64encode(_quantised(values)),
    "hex": lambda values: values.tobytes().hex().encode(),
    "zlib": lambda values: zlib.compress(values.tobytes()),
    "zlib of float16": lambda values: zlib.compress(values.astype(np.float16).tobytes(), 9),
    "zlib of int8": lambda values: zlib.compress(_quantised(values), 1),
    "base64 of zlib of int8": lambda values: base64.b64encode(zlib.compress(_quantised(values))),
    "gzip": lambda values: gzip.compress(values.tobytes()),
    "zstd": lambda values: zstandard.compress(values.tobytes()),
    "npz": _zipped,
    "JSON": lambda values: json.dumps(values.tolist()).encode(),
    "MessagePack": lambda values: msgspec.msgpack.encode(values.tolist()),
    "CBOR": lambda values: cbor2.dumps(values.astype(np.float64).tolist()),
    "a log line": _printed,
}


def turned(values: Templates, purpose: str) -> Templates:
    out = np.empty_like(values)
    TURNS[purpose].turn(values, out)
    return out


HELD: dict[str, Callable[[], Templates]] = {
    AS_IT_IS: lambda: TEMPLATE,
    **{f"turned for {purpose}": lambda purpose=purpose: turned(TEMPLATE, purpose) for purpose in PURPOSES},  # type: ignore[misc]
    "turned and turned back": lambda: back(turned(TEMPLATE, "payment")),
}


def back(values: Templates) -> Templates:
    out = np.empty_like(values)
    TURNS["payment"].turn_back(values, out)
    return out


SEEN: dict[str, Callable[[], NDArray[Any]]] = {
    AS_IT_IS: lambda: PICTURE,
    "on its side": lambda: np.rot90(PICTURE),
    "upside down": lambda: np.rot90(PICTURE, 2),
    "mirrored": lambda: PICTURE[:, ::-1],
    "in a larger one": lambda: np.pad(PICTURE, ((5, 3), (40, 17)), constant_values=9),
    "of 16 bits": lambda: PICTURE.astype(np.uint16) * 16 + 3,
    "as numbers from 0 to 1": lambda: PICTURE.astype(np.float32) / 255,
    "with noise": lambda: (PICTURE + random.normal(0, 6, PICTURE.shape)).clip(0, 255).astype(np.uint8),
}


@pytest.fixture(scope="module")
def detector() -> Detector:
    return Detector([*template_markers(TEMPLATE, TURNS), *picture_markers("picture", PICTURE, every=28)])


def planted(what: bytes, before: int) -> bytes:
    """Among bytes that mean nothing, at an odd place."""
    return random.bytes(before) + what + random.bytes(777)


@pytest.mark.parametrize(
    ("form", "held"), [(form, held) for form in FORMS for held in HELD if form in ASKED or held == AS_IT_IS]
)
def test_planted_template_is_found(form: str, held: str) -> None:
    leaks = Detector(template_markers(TEMPLATE, TURNS)).search(planted(FORMS[form](HELD[held]()), before=1001), "here")
    found = {leak.marker.partition(",")[0] for leak in leaks}
    assert len(found) == 6, f"every vector of the template, found {leaks}"
    assert all(("turned for" in leak.marker) == (held[:10] == "turned for") for leak in leaks)


@pytest.mark.parametrize(("form", "seen"), [(form, seen) for form in ASKED for seen in SEEN])
def test_planted_picture_is_found(form: str, seen: str) -> None:
    leaks = Detector(picture_markers("picture", PICTURE, every=28)).search(
        planted(FORMS[form](np.ascontiguousarray(SEEN[seen]())), before=1003), "here"
    )
    assert len({leak.marker for leak in leaks}) >= 4


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_picture_in_a_file_is_found(detector: Detector, suffix: str) -> None:
    coded = cv2.imencode(suffix, PICTURE)[1].tobytes()
    assert "uint8 of picture" in {leak.form for leak in detector.search(planted(coded, before=100), "here")}


def test_nothing_is_found_where_nothing_is(detector: Detector) -> None:
    other = _template()
    clean = [random.bytes(1 << 18), bytes(1 << 20), np.arange(1 << 14).tobytes(), other.tobytes(), _picture().tobytes()]
    clean += [zlib.compress(other.tobytes()), json.dumps(other.tolist()).encode(), Path(__file__).read_bytes()]
    assert [leak for data in clean for leak in detector.search(data, "here")] == []


def test_a_single_vector_at_the_end_of_a_file_is_found_with_its_place(detector: Detector, tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "dump").write_bytes(bytes(1 << 20) + random.bytes(5) + TEMPLATE[1, 2].tobytes())
    (tmp_path / "empty").touch()
    (tmp_path / "short").write_bytes(b"1640\n")
    (leak,) = detector.search_folder(tmp_path)
    assert (leak.marker, leak.form, leak.offset) == ("template depth right", "float32", (1 << 20) + 5)
    assert leak.where.endswith("sub/dump")


@pytest.mark.parametrize("before", [-600, -512, -300, -1, 0])
def test_vector_across_the_seam_of_two_blocks_is_found(before: int) -> None:
    data = random.bytes(BLOCK_BYTES + before) + TEMPLATE[0, 0].tobytes() + random.bytes(100)
    (leak,) = Detector(template_markers(TEMPLATE, {})).search(data, "here")
    assert (leak.marker, leak.offset) == ("template ir front", BLOCK_BYTES + before)


def test_a_bomb_unpacks_to_a_bounded_size(detector: Detector, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hil.rig.leaks.MAX_UNPACKED_BYTES", 1 << 16)
    assert detector.search(zlib.compress(bytes(1 << 23)), "here") == []
