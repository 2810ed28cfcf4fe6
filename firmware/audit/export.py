"""The log as JSON lines, for people and other programs; `verify` reads the segments themselves."""

import datetime
from collections.abc import Iterator
from pathlib import Path

import msgspec

from firmware.audit import events, frames
from firmware.audit.events import Checkpoint, Event
from firmware.payment import cose, schema
from firmware.payment.errors import PaymentError


def records(folder: Path, after: int = 0, about: bytes = b"") -> Iterator[dict[str, object]]:
    """Yield every record with a number above `after`, its bytes as hex digits; what cannot be read is passed over.

    Only those that hold the bytes `about`, such as a `who`; over a full segment 0.2 s instead of 5.

    Raises AuditError where the folder cannot be read.
    """
    for _, path in frames.segments(folder):
        for frame, _ in frames.scan(frames.read(path)):
            if frame.sequence > after and about in frame.body:
                yield _record(frame)


def lines(folder: Path, after: int = 0) -> Iterator[bytes]:
    """The same as JSON, one line each."""
    for record in records(folder, after):
        yield msgspec.json.encode(record) + b"\n"


def _record(frame: frames.Frame) -> dict[str, object]:
    told: dict[str, object] = {"sequence": frame.sequence, "at": _time(frame.at)}
    try:
        event = _event(frame)
    except (IndexError, PaymentError) as error:
        return told | {"event": "unreadable", "kind": frame.kind, "why": str(error)}
    fields = {name: _plain(getattr(event, name)) for name in event.__struct_fields__ if name not in told}
    return told | {"event": events.name_of(type(event))} | fields


def _event(frame: frames.Frame) -> Event:
    kind = events.KINDS[frame.kind]
    return schema.decode(cose.peek(frame.body) if kind is Checkpoint else frame.body, kind)


def _time(at: int) -> str:
    return datetime.datetime.fromtimestamp(at, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def _plain(value: object) -> object:
    return value.hex() if isinstance(value, bytes) else value
