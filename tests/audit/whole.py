"""A log to attack, and what an attacker without the key can do to its bytes."""

import itertools
import os
from pathlib import Path

from drivers.secure_element.interface import SecureElement
from firmware.audit import events, frames
from firmware.audit.log import Audit

_SECONDS = itertools.count(1_764_000_000)


def clock() -> int:
    """A clock that is handed in: every look takes a second."""
    return next(_SECONDS)


def opened(folder: Path, element: SecureElement) -> Audit:
    return Audit(folder, element, "till-1", clock)


def started(folder: Path, element: SecureElement, models: bytes = bytes(32)) -> Audit:
    audit = opened(folder, element)
    audit.started(firmware="0.1.0", configuration=b"c" * 32, models=models)
    return audit


def refusal(n: int = 0) -> events.Decision:
    return events.Decision(
        purpose="payment",
        outcome="refused",
        reason="not_recognised",
        intent=n.to_bytes(16, "big"),
        evidence=b"",
        who=b"",
    )


def filled(folder: Path, element: SecureElement, records: int = 100) -> None:
    """A whole log: a start, `records` refusals, an end."""
    with started(folder, element) as audit:
        for n in range(records):
            audit.record(refusal(n))


def last_segment(folder: Path) -> Path:
    return frames.segments(folder)[-1][1]


def pieces(path: Path) -> list[bytes]:
    """A segment's records, as bytes."""
    data, at, found = path.read_bytes(), 0, []
    for _, end in frames.scan(data):
        found.append(data[at:end])
        at = end
    return found


def mended(records: list[bytes]) -> list[bytes]:
    """Number and chain all anew, as anybody can who has no key."""
    found, head = [], frames.GENESIS
    for number, record in enumerate(records, 1):
        ((frame, _),) = frames.scan(record)
        data, head = frames.pack(number, head, frame.at, frame.kind, frame.body)
        found.append(data)
    return found


def died(audit: Audit) -> None:
    """The process is gone, its descriptors with it, and nothing more is written."""
    os.close(audit._fd)
    os.close(audit._folder_fd)
