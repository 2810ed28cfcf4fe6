"""`tessera inspect`: what is in a recording: timing, drops, gaps, valid depth, session events, and a contact sheet.

Rule kept here: every word that comes out of the file is stripped of what a terminal would obey.
"""

from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from drivers.camera import CameraNotFoundError
from drivers.camera.recording import SessionEvent
from drivers.camera.recording.contact_sheet import write_contact_sheet
from drivers.camera.recording.summary import GAP, Summary, summarise

CUT_SHORT = 3  # exit code: the frames before were shown, but the file ends early or is damaged
FAR = 2.5  # median intervals: what is further away shares the last bin of the histogram
SAME_MS = 0.1  # intervals no further apart need no histogram
BINS, BAR, SHOWN_GAPS, SHOWN_EVENTS = 12, 40, 10, 60
LEVELS = "▁▂▃▄▅▆▇█"


def inspect_recording(
    file: Annotated[Path, typer.Argument(help="A recording (.mcap).")],
    sheet: Annotated[Path | None, typer.Option(help="Where to draw the contact sheet; default FILE.png.")] = None,
) -> None:
    """Say what is in a recording and draw a contact sheet; exit code 3 if the file ends early or is damaged."""
    console = Console()
    try:
        with console.status("reading"):
            summary = summarise(file)
    except OSError as error:
        raise CameraNotFoundError(f"{file}: cannot be opened: {error.strerror}") from error
    if not summary.sequences:
        raise CameraNotFoundError(summary.fault or f"{file}: a recording without frames")
    _print_facts(console, summary)
    _print_timing(console, summary)
    _print_depth(console, summary)
    _print_session(console, summary)
    picture = sheet or file.with_name(file.name + ".png")
    write_contact_sheet(summary, picture)
    console.print(f"contact sheet in {picture}", markup=False)
    if summary.fault:
        warning = f"tessera: warning: {plain(summary.fault)}"
        Console(stderr=True).print(warning, style="yellow", markup=False, highlight=False, soft_wrap=True)
        raise typer.Exit(CUT_SHORT)


def plain(text: str) -> str:
    """Return `text` without control characters."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def _print_facts(console: Console, summary: Summary) -> None:
    camera, intrinsics, count = summary.camera, summary.intrinsics, len(summary.sequences)
    if camera is None or intrinsics is None:
        return
    table = Table.grid(padding=(0, 2))
    stored, raw = summary.file_bytes / count, summary.raw_bytes / count
    for name, value in (
        ("file", f"{summary.path} ({summary.file_bytes / 1e6:.1f} MB)"),
        ("consent", summary.consent or "none named"),
        ("camera", f"{camera.serial}, firmware {camera.firmware}, {'with' if camera.flood else 'no'} flood light"),
        ("images", ", ".join(f"{name} {n}/{count}" for name, n in summary.images.items())),
        ("geometry", f"{intrinsics.width}x{intrinsics.height}, fx {intrinsics.fx:.1f}, fy {intrinsics.fy:.1f} px"),
        ("size", f"{stored / 1e3:.0f} kB a frame, {stored / raw:.0%} of {raw / 1e3:.0f} kB of images"),
        ("reading", f"{summary.read_s / count * 1e3:.1f} ms of CPU a frame on this machine"),
        *(("shows", f"{person}: {artefact}, {n} frames (ground truth)") for (person, artefact), n in
          summary.shown.most_common(SHOWN_GAPS)),
    ):  # fmt: skip
        table.add_row(name, escape(plain(value)))
    console.print(table)


def _print_timing(console: Console, summary: Summary) -> None:
    intervals, count = summary.intervals_ms, len(summary.sequences)
    if intervals.size:
        median, p95 = np.percentile(intervals, (50, 95))
        rate = f"{1e3 / median:.1f}" if median > 0 else "-"
        console.print(
            f"\n{count} frames over {intervals.sum() / 1e3:.2f} s; {rate} a second; between frames "
            f"median {median:.2f}, p95 {p95:.2f}, longest {intervals.max():.2f} ms"
        )
        for low, high, n in histogram(intervals):
            share = round(BAR * n / intervals.size)
            console.print(f"{low:9.2f} to {high:9.2f} ms {n:6d} {'█' * share or ('▏' if n else '')}", highlight=False)
    console.print(f"dropped cycles: {summary.dropped}; frames out of order: {summary.disordered}")
    gaps = summary.gaps
    console.print(f"gaps (over {GAP:g} median intervals): {len(gaps)}")
    for sequence, gap_ms in gaps[:SHOWN_GAPS]:
        console.print(f"  {gap_ms:.1f} ms after frame {sequence}")


def histogram(intervals_ms: NDArray[np.float64]) -> list[tuple[float, float, int]]:
    """Return (from, to, count) of the intervals (n,), milliseconds; the last bin holds all far above the median."""
    low, high = float(intervals_ms.min()), float(intervals_ms.max())
    if high - low < SAME_MS:
        return [(low, high, intervals_ms.size)]
    usual = max(low + 1e-3, min(high, FAR * float(np.median(intervals_ms))))
    edges = np.linspace(low, usual, BINS)
    edges = np.append(edges, max(high, usual + 1e-3))
    counts, _ = np.histogram(intervals_ms, edges)
    return [(float(a), float(b), int(n)) for a, b, n in zip(edges, edges[1:], counts, strict=False)]


def _print_depth(console: Console, summary: Summary) -> None:
    valid = np.frombuffer(summary.valid, np.float32)
    console.print(f"\nvalid depth: least {valid.min():.1%}, median {np.median(valid):.1%}, most {valid.max():.1%}")
    parts = np.array_split(valid, min(valid.size, 100))
    console.print(
        "".join(LEVELS[min(int(part.min() * len(LEVELS)), len(LEVELS) - 1)] for part in parts) + "  0 to 100 %"
    )


def _print_session(console: Console, summary: Summary) -> None:
    kinds = ", ".join(f"{n} {kind}" for kind, n in summary.event_counts.items())
    console.print(f"\nsession events: {kinds or 'none'}")
    start_ns = summary.timestamps_ns[0]
    for event in summary.events[:SHOWN_EVENTS]:
        line = f"  {(event.at_ns - start_ns) / 1e9:+9.3f} s  {plain(_told(event))}"
        console.print(line, markup=False, highlight=False, no_wrap=True, overflow="ellipsis")
    if (left := sum(summary.event_counts.values()) - SHOWN_EVENTS) > 0:
        console.print(f"  and {left} more")


def _told(event: SessionEvent) -> str:
    values = msgspec.to_builtins(event)
    kind, _ = values.pop("kind"), values.pop("at_ns")
    told = [
        f"{value}" if name == kind else f"{name} {value}" for name, value in values.items() if value not in ("", None)
    ]
    return f"{kind:8}" + ", ".join(told)
