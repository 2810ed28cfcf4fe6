"""Exposures in a folder: PNG pictures and an index, to bring a module up away from it and to try things twice.

Rules kept here:
- The folder may come from anybody: the index is strict, bounded JSON, names are plain names of plain files inside the
  folder, and every picture is checked before it is decoded (`png`).
- Times are laid onto the monotonic clock from `start`, at the recorded pace; an exposure is handed out when it is due.
- Recording never overwrites: the folder must be empty or new.
"""

import itertools
import os
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from drivers.camera.interface import CameraLostError, CameraNotFoundError, FrameTimeoutError, RecordingEndError
from drivers.camera.structured_light.exposures import Exposure, ExposureSource
from drivers.camera.structured_light.png import read_png, write_png

INDEX = "exposures.json"
MAX_INDEX_BYTES = 4 << 20
MAX_PICTURE_BYTES = 24 << 20  # 4096 x 4096 of noise, and some
MAX_EXPOSURES = 20_000


class Picture(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One exposure: `file` in the folder, the rest as in `Exposure`."""

    file: Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,60}\.png\Z")]
    number: Annotated[int, Meta(ge=0)]
    timestamp_ns: Annotated[int, Meta(ge=0)]
    exposure_us: Annotated[int, Meta(ge=1, le=1_000_000)]
    gain: Annotated[float, Meta(gt=0, le=1000)]


class Index(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the folder holds: the sensor, and its exposures in order."""

    serial: Annotated[str, Meta(min_length=1, max_length=64)]
    firmware: Annotated[str, Meta(max_length=64)]
    width: Annotated[int, Meta(ge=64, le=4096)]
    height: Annotated[int, Meta(ge=64, le=4096)]
    exposures: Annotated[tuple[Picture, ...], Meta(min_length=1, max_length=MAX_EXPOSURES)]


class FileExposures(ExposureSource):
    """Plays a folder from its beginning at every `start`."""

    def __init__(
        self,
        folder: Path,
        clock_ns: Callable[[], int] = time.monotonic_ns,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Read the index. Raises CameraNotFoundError where it is missing or not one."""
        self._folder, self._clock_ns, self._sleep = folder, clock_ns, sleep
        self._index = _read_index(folder / INDEX)
        self.serial, self.firmware = self._index.serial, self._index.firmware
        self.width, self.height = self._index.width, self._index.height
        self._next: int | None = None
        self._shift_ns = 0

    def start(self) -> None:
        """Go to the beginning."""
        if self._next is None:
            self._next = 0
            self._shift_ns = self._clock_ns() - self._index.exposures[0].timestamp_ns

    def stop(self) -> None:
        """Stop until the next start."""
        self._next = None

    close = stop

    def read(self, timeout_s: float) -> Exposure:
        """Return the next exposure when it is due. Raises as `ExposureSource.read` does."""
        if self._next is None:
            raise CameraLostError(f"{self._folder}: read before start")
        if self._next == len(self._index.exposures):
            raise RecordingEndError(f"{self._folder}: ended after {self._next} exposures")
        picture = self._index.exposures[self._next]
        due_ns = picture.timestamp_ns + self._shift_ns
        left_s = (due_ns - self._clock_ns()) / 1e9
        self._sleep(max(0.0, min(left_s, timeout_s)))
        if left_s > timeout_s:
            raise FrameTimeoutError(f"{self._folder}: the next exposure is due in {left_s:.3f} s")
        self._next += 1
        path = self._folder / picture.file
        try:
            image = read_png(_read(path, MAX_PICTURE_BYTES), self.width, self.height)
        except ValueError as error:
            raise CameraLostError(f"{path}: {error}", "partial") from error
        return Exposure(picture.number, due_ns, image, picture.exposure_us, picture.gain)


def record_exposures(
    source: ExposureSource, folder: Path, count: int, progress: Callable[[int], None] = lambda _: None
) -> None:
    """Write the next `count` exposures of a started `source` into the new or empty `folder`.

    Raises:
        CameraNotFoundError: the folder is not empty or cannot be written.
        CameraLostError: as `ExposureSource.read`.
    """
    pictures = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise CameraNotFoundError(f"{folder}: is not empty; a recording never overwrites")
        for done in range(count):
            one = source.read(2.0)
            name = f"{done:05d}.png"
            (folder / name).write_bytes(write_png(one.image))
            pictures.append(Picture(name, one.number, one.timestamp_ns, one.exposure_us, one.gain))
            progress(done + 1)
        index = Index(source.serial, source.firmware, source.width, source.height, tuple(pictures))
        (folder / INDEX).write_bytes(msgspec.json.format(msgspec.json.encode(index)))
    except OSError as error:
        raise CameraNotFoundError(f"{folder}: cannot be written: {error.strerror}") from error


def _read_index(path: Path) -> Index:
    try:
        index = msgspec.json.decode(_read(path, MAX_INDEX_BYTES), type=Index, strict=True)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError, ValueError) as error:
        raise CameraNotFoundError(f"{path}: not an index of exposures: {error}") from error
    except CameraLostError as error:
        raise CameraNotFoundError(str(error)) from error
    times = [one.timestamp_ns for one in index.exposures]
    if any(later <= before for before, later in itertools.pairwise(times)):
        raise CameraNotFoundError(f"{path}: times do not rise")
    return index


def _read(path: Path, most: int) -> bytes:
    """Read a plain file: a link leads out of the folder, a pipe never ends."""
    try:
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise CameraLostError(f"{path}: is no plain file")
            data = file.read(most + 1)
    except OSError as error:
        raise CameraLostError(f"{path}: cannot be read: {error.strerror}") from error
    if len(data) > most:
        raise CameraLostError(f"{path}: larger than {most} bytes")
    return data
