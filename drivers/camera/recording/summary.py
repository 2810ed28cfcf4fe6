"""What is in a recording, in one pass and bounded memory: timing, drops, gaps, valid depth, events, small pictures.

Rules kept here:
- A file that ends early or breaks is summed up as far as it goes; the summary says so.
- Nothing is judged: these are the file's own numbers.
"""

import collections
import time
from array import array
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from drivers.camera.interface import CameraInfo, FrameSet, Intrinsics
from drivers.camera.recording import layout
from drivers.camera.recording.reader import RecordingFileError, RecordingReader
from drivers.camera.recording.session import SessionEvent, Truth

KEPT_TILES = 24  # pictures kept while reading: never more, and at least half as many once there were as many frames
TILE_WIDTH_PX = 320
KEPT = 1000  # events and gaps kept one by one; beyond that they are counted only
GAP = 1.5  # a frame that comes this many median intervals after the last leaves a gap


@dataclass(frozen=True, eq=False)
class Tile:
    """A small picture of one frame: `ir` (h, w) of the file's dtype, `depth_mm` (h, w) float32; `valid` as below."""

    sequence: int
    timestamp_ns: int
    valid: float
    ir: NDArray[np.uint8] | NDArray[np.uint16]
    depth_mm: NDArray[np.float32]


@dataclass
class Summary:
    """One recording, summed up.

    Attributes:
        path: the file.
        consent: whose consent covers it.
        camera: None where there is no whole frame.
        intrinsics: the same.
        sequences: of every whole frame.
        timestamps_ns: of every whole frame, capture clock.
        valid: share of pixels with depth, of every whole frame, 0..1.
        images: how many frames have each image.
        events: the first session events; `event_counts` counts them all by kind.
        shown: how many frames show whom, by person and artefact, where the file holds ground truth.
        raw_bytes: of all images, uncompressed.
        file_bytes: of the file.
        read_s: CPU time that reading took, seconds, without this summing up.
        fault: why the file ended early, or empty.
        tiles: evenly spread over the file.
    """

    path: Path
    consent: str = ""
    camera: CameraInfo | None = None
    intrinsics: Intrinsics | None = None
    sequences: "array[int]" = field(default_factory=lambda: array("q"))
    timestamps_ns: "array[int]" = field(default_factory=lambda: array("q"))
    valid: "array[float]" = field(default_factory=lambda: array("f"))
    images: collections.Counter[str] = field(default_factory=collections.Counter)
    events: list[SessionEvent] = field(default_factory=list)
    event_counts: collections.Counter[str] = field(default_factory=collections.Counter)
    shown: collections.Counter[tuple[str, str]] = field(default_factory=collections.Counter)
    raw_bytes: int = 0
    file_bytes: int = 0
    read_s: float = 0.0
    fault: str = ""
    tiles: list[Tile] = field(default_factory=list)

    @property
    def intervals_ms(self) -> NDArray[np.float64]:
        """(frames - 1,) milliseconds between one frame and the next."""
        return np.diff(np.frombuffer(self.timestamps_ns, np.int64)).astype(np.float64) / 1e6

    @property
    def dropped(self) -> int:
        """Cycles whose number is missing between two frames."""
        steps = np.diff(np.frombuffer(self.sequences, np.int64))
        return int(np.maximum(steps - 1, 0).sum())

    @property
    def disordered(self) -> int:
        """Frames whose number or time does not rise."""
        steps = np.diff(np.frombuffer(self.sequences, np.int64))
        return int(((steps <= 0) | (self.intervals_ms <= 0)).sum())

    @property
    def gaps(self) -> list[tuple[int, float]]:
        """The first gaps: number of the frame before it, and how long it is in milliseconds."""
        intervals = self.intervals_ms
        if not intervals.size:
            return []
        found = np.flatnonzero(intervals > GAP * np.median(intervals))[:KEPT]
        return [(self.sequences[i], float(intervals[i])) for i in found]


def summarise(path: Path) -> Summary:
    """Read a recording once, front to back.

    Raises:
        OSError: it cannot be opened.
        RecordingFileError: it is not a recording.
    """
    summary = Summary(path, file_bytes=path.stat().st_size)
    reader = RecordingReader(path)
    stride = 1
    try:
        while True:
            before = time.process_time()
            item = reader.next_item()
            summary.read_s += time.process_time() - before
            if item is None:
                break
            if not isinstance(item, FrameSet):
                _count(summary, item)
                continue
            if len(summary.sequences) % stride == 0:
                summary.tiles.append(_tile(item))
            _take(summary, item)
            if len(summary.tiles) > KEPT_TILES:  # every other one goes
                del summary.tiles[1::2]
                stride *= 2
    except RecordingFileError as error:
        summary.fault = str(error)
    finally:
        reader.close()
    summary.consent = reader.consent
    return summary


def _take(summary: Summary, frames: FrameSet) -> None:
    summary.camera, summary.intrinsics = frames.camera, frames.intrinsics
    summary.sequences.append(frames.sequence)
    summary.timestamps_ns.append(frames.timestamp_ns)
    summary.valid.append(float(np.isfinite(frames.depth_mm).mean()))
    images = layout.images_of(frames)
    summary.images.update(images.keys())
    summary.raw_bytes += sum(image.nbytes for image in images.values())


def _count(summary: Summary, item: SessionEvent | Truth) -> None:
    if isinstance(item, Truth):
        who = (item.person or "-", item.artefact or "bona fide")
        summary.shown[who if who in summary.shown or len(summary.shown) < KEPT else ("others", "")] += 1
        return
    summary.event_counts[type(item).__name__.lower()] += 1
    if len(summary.events) < KEPT:
        summary.events.append(item)


def _tile(frames: FrameSet) -> Tile:
    height, width = frames.ir.shape
    size = (TILE_WIDTH_PX, max(1, min(2 * TILE_WIDTH_PX, round(TILE_WIDTH_PX * height / width))))
    ir: Any = cv2.resize(frames.ir, size, interpolation=cv2.INTER_AREA)
    depth_mm = cv2.resize(frames.depth_mm, size, interpolation=cv2.INTER_NEAREST).astype(np.float32, copy=False)
    valid = float(np.isfinite(frames.depth_mm).mean())
    return Tile(frames.sequence, frames.timestamp_ns, valid, ir, depth_mm)
