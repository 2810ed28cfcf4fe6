"""Whether a log is whole, and the terminal's: for the auditor, on any machine, with nothing but its public keys.

Rules kept here:
- It reads; it never mends. Every fault is named with its place, and reading goes on behind it.
- What a chain alone shows (a byte turned, a record taken out, two exchanged) whoever writes to the disk could mend by
  computing the chain anew. So nothing counts before a checkpoint whose signature holds says the same.
- A log cut short at a checkpoint is a good log of an earlier time. That records are missing at the end shows only
  against something kept elsewhere: an exported checkpoint, or the hardware counter.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from firmware.audit import events, frames
from firmware.audit.events import Checkpoint, SegmentsDropped, Started
from firmware.audit.log import CHECKPOINT_EVERY
from firmware.payment import schema
from firmware.payment.errors import PaymentError
from firmware.payment.trust import Trust, key_id, load_public_key

FaultKind = Literal["removed", "altered", "reordered", "truncated", "unsigned", "replaced"]
MAX_TOLD = 100

_CHECKPOINT = events.KINDS.index(Checkpoint)
_STARTED = events.KINDS.index(Started)
_DROPPED = events.KINDS.index(SegmentsDropped)


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong, at which record, in plain words."""

    kind: FaultKind
    sequence: int
    text: str


@dataclass(frozen=True, slots=True)
class Report:
    """What was found.

    Attributes:
        terminal: as the checkpoints say; empty where none holds.
        first, last: numbers of the first and the last record; 0 where there is none.
        signed: number of the last checkpoint that holds; what comes after it nobody vouches for yet.
        faults: at most `MAX_TOLD`.
        notes: what an auditor should know and is no fault by itself.
    """

    terminal: str
    first: int
    last: int
    signed: int
    checkpoints: int
    faults: tuple[Fault, ...]
    notes: tuple[str, ...]

    @property
    def good(self) -> bool:
        """Whether nothing is wrong."""
        return not self.faults


def trust_in(public_keys: Iterable[bytes]) -> Trust:
    """Every key the terminal ever had (DER). Raises PaymentError where one is none."""
    keys = [load_public_key(der) for der in public_keys]
    return Trust({key_id(key): key for key in keys})


def read_checkpoint(envelope: bytes, public_keys: Iterable[bytes]) -> Checkpoint:
    """An exported checkpoint. Raises PaymentError where its signature does not hold."""
    return schema.verify(envelope, Checkpoint, trust_in(public_keys).resolve)[1]


def verify(
    folder: Path, public_keys: Iterable[bytes], known: Checkpoint | None = None, counter: int | None = None
) -> Report:
    """Read the whole log in `folder`.

    Args:
        folder: of the segments; a copy will do.
        public_keys: every identity the terminal ever had, DER.
        known: a checkpoint of this log that was kept elsewhere.
        counter: where the terminal's hardware counter stands now.

    Raises:
        AuditError: a segment cannot be read, or is larger than one can be. PaymentError: a key is none.
    """
    walk = _Walk(trust_in(public_keys), known)
    segments = frames.segments(folder)
    for i, (_, path) in enumerate(segments):
        walk.segment(frames.read(path), last=i == len(segments) - 1)
    return walk.report(counter)


@dataclass
class _Walk:
    """Where reading has come to."""

    trust: Trust
    known: Checkpoint | None
    expected: int | None = None
    head: bytes | None = None
    first: int = 0
    unsigned: int = 0
    checkpoints: int = 0
    latest: Checkpoint | None = None
    dropped_to: dict[int, int] = field(default_factory=dict)
    met: bool = False
    at: int = 0
    gaps: list[tuple[int, int]] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def segment(self, data: bytes, *, last: bool) -> None:
        """Read one segment."""
        at = 0
        while at < len(data):
            start = at
            for frame, behind in frames.scan(data[start:]):
                self.frame(frame)
                at = start + behind
            if at == len(data):
                return
            further, rest = frames.resync(data[at:]), len(data) - at
            if further is None and last and rest <= frames.MAX_FRAME_BYTES and frames.announced(data[at:]) != rest:
                self.notes.append(f"ends in {rest} bytes of a record that was never finished")
                return
            self.lose("its bytes are not those that were written")
            if further is None:
                self.expected = None
                return
            at += further

    def lose(self, why: str) -> None:
        """A record, or a whole segment, that cannot be read."""
        self.fault("altered", self.expected or 0, why)
        self.expected = None if self.expected is None else self.expected + 1
        self.head = None

    def frame(self, frame: frames.Frame) -> None:
        """Take the next record."""
        if self.expected is not None and frame.sequence < self.expected:
            return self.out_of_order(frame.sequence)
        if self.expected is None:
            self.first = self.first or frame.sequence
        elif frame.sequence > self.expected:
            self.gaps.append((self.expected, frame.sequence - 1))
        elif self.head is not None and frame.previous != self.head:
            self.fault("altered", frame.sequence - 1, "it is not the record that the next one was chained to")
        self.expected, self.head = frame.sequence + 1, frame.digest
        self.told(frame)
        return None

    def out_of_order(self, sequence: int) -> None:
        """A record that comes after one with a higher number."""
        for i, (begin, end) in enumerate(self.gaps):
            if begin <= sequence <= end:
                self.fault("reordered", sequence, "it stands behind a later record")
                self.gaps[i : i + 1] = [gap for gap in ((begin, sequence - 1), (sequence + 1, end)) if gap[0] <= gap[1]]
                return
        self.fault("reordered", sequence, "it comes a second time")

    def told(self, frame: frames.Frame) -> None:
        """What a record in its place says."""
        if frame.at < self.at:
            self.notes.append(f"record {frame.sequence}: the clock had gone back by {self.at - frame.at} s")
        self.at = frame.at
        if self.known is not None and frame.sequence == self.known.sequence:
            self.met = frame.kind == _CHECKPOINT and frame.previous == self.known.head
        if frame.kind == _CHECKPOINT:
            self.checkpoint(frame)
            return
        self.unsigned += 1
        if self.unsigned == CHECKPOINT_EVERY + 1:
            self.fault("unsigned", frame.sequence, f"more than {CHECKPOINT_EVERY} records without a checkpoint")
        try:
            if frame.kind == _STARTED:
                self.started(schema.decode(frame.body, Started), frame.sequence)
            elif frame.kind == _DROPPED:
                self.dropped_to[frame.sequence] = schema.decode(frame.body, SegmentsDropped).first
        except PaymentError as error:
            self.fault("altered", frame.sequence, f"it says nothing this software can read: {error}")

    def started(self, started: Started, sequence: int) -> None:
        """What the terminal noticed of its own log when it started."""
        if started.missing:
            self.fault("removed", sequence - 1, f"at a start, {started.missing} records signed before were not here")
        if started.unsigned or started.torn:
            self.notes.append(
                f"record {sequence}: when the terminal started, {started.unsigned} records before it were not yet "
                f"signed and {started.torn} bytes of an unfinished one were cut off"
            )

    def checkpoint(self, frame: frames.Frame) -> None:
        """Check a signature over everything so far."""
        try:
            _, told = schema.verify(frame.body, Checkpoint, self.trust.resolve)
        except PaymentError as error:
            self.unsigned += 1
            return self.fault("altered", frame.sequence, f"its signature is not this terminal's: {error}")
        if told.head != frame.previous:
            since = self.latest.sequence if self.latest else 0
            self.unsigned += 1
            return self.fault(
                "altered", frame.sequence, f"the terminal signed another history: rewritten after record {since}"
            )
        if self.latest is not None and told.terminal != self.latest.terminal:
            self.notes.append(f"record {frame.sequence}: signed as {told.terminal}, before as {self.latest.terminal}")
        if self.latest is not None and told.counter < self.latest.counter:
            self.fault("replaced", frame.sequence, "the hardware counter went back")
        elif self.latest is not None and told.counter > self.latest.counter + 1:
            # every start is signed before the counter moves in it, so honestly it moves by one between two
            self.fault(
                "removed",
                self.latest.sequence,
                f"behind it: the hardware counter went from {self.latest.counter} to {told.counter} before the next",
            )
        elif self.latest is None and told.counter:
            self.notes.append(f"the log begins when the hardware counter already stood at {told.counter}")
        self.latest, self.unsigned, self.checkpoints = told, 0, self.checkpoints + 1
        return None

    def fault(self, kind: FaultKind, sequence: int, text: str) -> None:
        """Note a fault."""
        if len(self.faults) < MAX_TOLD:
            self.faults.append(Fault(kind, sequence, text))

    def report(self, counter: int | None) -> Report:
        """What it all comes to."""
        for begin, end in self.gaps:
            self.fault("removed", begin, f"records {begin} to {end} are not here")
        last = (self.expected or 1) - 1
        signed = self.latest.sequence if self.latest else 0
        self.beginning(signed)
        if self.first and self.latest is None:
            self.fault("unsigned", last, "no checkpoint of this terminal holds")
        self.end(last, counter)
        if self.unsigned:
            self.notes.append(f"the last {self.unsigned} records are not signed yet")
        self.faults.sort(key=lambda fault: fault.sequence)
        terminal = self.latest.terminal if self.latest else ""
        return Report(terminal, self.first, last, signed, self.checkpoints, tuple(self.faults), tuple(self.notes))

    def beginning(self, signed: int) -> None:
        """Records before the first are missing, unless the terminal signed that it dropped them."""
        if self.first > 1:
            if any(first >= self.first and at < signed for at, first in self.dropped_to.items()):
                self.notes.append(f"records before {self.first} were dropped by the terminal, as it says")
            else:
                self.fault("removed", 1, f"records 1 to {self.first - 1} are not here, and no record says why")

    def end(self, last: int, counter: int | None) -> None:
        """Compare with what is known from elsewhere."""
        known = self.known
        if known is not None and known.sequence > last:
            self.fault("truncated", last, f"it ends here; the terminal has signed up to record {known.sequence}")
        elif known is not None and known.sequence < self.first:
            self.notes.append(f"the known checkpoint {known.sequence} lies before the first record kept")
        elif known is not None and not self.met:
            self.fault("replaced", known.sequence, "this is not the history whose checkpoint is known")
        reached = self.latest.counter if self.latest else 0
        if counter is not None and counter > reached:
            self.fault(
                "truncated", last, f"it ends at counter {reached}; the terminal's hardware counter stands at {counter}"
            )
