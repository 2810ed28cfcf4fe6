"""What recording costs: `python -m drivers.camera.recording.speed FILE` copies the file's frames and reads them back.

CPU time of this process on this machine, one thread, not wall time; sizes are the files'. Nothing is left behind.
"""

import statistics
import sys
import tempfile
import time
from itertools import islice
from pathlib import Path

from drivers.camera.interface import CameraError, FrameSet
from drivers.camera.recording.layout import images_of
from drivers.camera.recording.reader import RecordingReader, read_recording
from drivers.camera.recording.writer import RecordingWriter

MOST_FRAMES = 60


def measure(path: Path) -> str:
    """Return a line on size and one on speed. Raises as `read_recording`; ValueError where there is no frame."""
    frames = list(islice((item for item in read_recording(path) if isinstance(item, FrameSet)), MOST_FRAMES))
    if not frames:
        raise ValueError(f"{path}: no frames to measure with")
    write_ms, read_ms = [], []
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "copy.mcap"
        with RecordingWriter(copy, f"a passing copy of {path.name}") as writer:
            for frame in frames:
                before = time.process_time_ns()
                writer.write(frame)
                write_ms.append((time.process_time_ns() - before) / 1e6)
        reader = RecordingReader(copy)
        for _ in frames:
            before = time.process_time_ns()
            reader.next_frame()
            read_ms.append((time.process_time_ns() - before) / 1e6)
        reader.close()
        stored = copy.stat().st_size / len(frames)
    writing, reading = statistics.median(write_ms), statistics.median(read_ms)
    images = images_of(frames[0])
    raw = sum(image.nbytes for image in images.values())
    height, width = frames[0].ir.shape
    return (
        f"{len(frames)} frames of {width}x{height} ({', '.join(images)}): "
        f"{stored / 1e3:.0f} kB a frame, {stored / raw:.0%} of {raw / 1e3:.0f} kB\n"
        f"CPU a frame, median: writing {writing:.1f} ms, reading {reading:.1f} ms\n"
    )


if __name__ == "__main__":
    try:
        sys.stdout.write(measure(Path(sys.argv[1])))
    except (OSError, CameraError, ValueError) as problem:
        sys.exit(str(problem))
