"""The log itself: append, sign, rotate.

Rules kept here:
- A record is on disk (fsync) before `record` returns; where it cannot be, `AuditError` is raised, nothing is left of
  it, and the caller must not do what it wanted to record. A full disk refuses; it never loses a line.
- Every record names the digest of the one before, across segments. The terminal signs the chain's head in a
  checkpoint, itself a record: at the start, at the end, every 64 records, and whenever asked. What was added since the
  last one could be rewritten by whoever writes to the disk, so `core` asks whenever it comes to rest.
- What is found unsigned at a start is signed on, but the log says how much it was (`Started.unsigned`).
- The last checkpoint lies beside the folder too (`audit.checkpoint`), so that a folder which is deleted, or put back
  alone, is noticed at the next start and told (`Started.missing`). Who puts back both is noticed from outside only.
- A segment is closed by a checkpoint at 8 MiB. Old ones are dropped whole, and the log says so.
- One process, one thread; another that opens the folder is refused.
"""

import contextlib
import fcntl
import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType

from drivers.secure_element.interface import Capability, SecureElement, SecureElementError
from firmware.audit import events, frames
from firmware.audit.errors import AuditError
from firmware.audit.events import Checkpoint, Event, Started
from firmware.payment import cose, schema
from firmware.payment.errors import PaymentError
from firmware.payment.trust import key_id, load_public_key

# 2100, where `messages.Seconds` ends
LATEST = 4_102_444_800
CHECKPOINT_EVERY = 64
"""Most records in a row without a signature over them."""

_NUMBER = {kind: number for number, kind in enumerate(events.KINDS)}
_log = logging.getLogger("tessera.audit")


class Audit:
    """The log of one terminal, to be written. Opening it changes nothing; `started` begins.

    Args:
        folder: of its segments; made where it is missing.
        element: signs the checkpoints, by whatever identity is in force at the time.
        terminal: whose log this is.
        clock: seconds since 1970; must not raise. Order is by number; no record is dated before the one before it.

    Raises:
        AuditError: `audit_unusable`, the folder cannot be used or another process has it; `audit_damaged`, the last
            segment was altered.
    """

    def __init__(self, folder: Path, element: SecureElement, terminal: str, clock: Callable[[], int]) -> None:
        self._folder, self._element, self._terminal, self._clock = folder, element, terminal, clock
        self._sequence, self._head, self._unsigned, self._size, self._torn = 0, frames.GENESIS, 0, 0, 0
        self._number, self._fd, self._failed, self._at = 1, -1, False, 0
        self._beside = folder.with_name(f"{folder.name}.checkpoint")
        self._latest: tuple[bytes, Checkpoint] | None = None
        self._before: Started | None = None
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._folder_fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise AuditError("audit_unusable", f"{folder}: cannot be used: {error.strerror}") from error
        try:
            fcntl.flock(self._folder_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._load()
        except (OSError, PaymentError, AuditError) as error:
            os.close(self._folder_fd)
            if isinstance(error, AuditError):
                raise
            why = "in use by another process; end that one first" if isinstance(error, OSError) else str(error)
            raise AuditError("audit_unusable", f"{folder}: {why}") from error

    def __enter__(self) -> "Audit":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def sequence(self) -> int:
        """Number of the last record; 0 where there is none."""
        return self._sequence

    def started(self, *, firmware: str, configuration: bytes, models: bytes) -> None:
        """Record a start, and what is different since the one before.

        Args:
            firmware: version of the software.
            configuration: SHA-256 of everything that is set.
            models: SHA-256 of the manifest of networks.

        Raises:
            AuditError: the log cannot be written. SecureElementError: the element did not sign.
        """
        with self._errors():
            self._open_segment(self._number)
            os.ftruncate(self._fd, self._size)
        begun = Started(
            firmware=firmware,
            configuration=configuration,
            models=models,
            unsigned=self._unsigned,
            torn=self._torn,
            missing=max(0, self._signed_up_to() - self._sequence),
        )
        if begun.missing:
            _log.critical("%s: %d records are missing that were signed before", self._folder, begun.missing)
        self._write(begun)
        before, self._before, self._torn = self._before, begun, 0
        if before is not None and before.configuration != configuration:
            self._write(events.ConfigurationChanged(before=before.configuration, after=configuration))
        if before is not None and before.models != models:
            self._write(events.ModelsChanged(before=before.models, after=models))
        self._sign()

    def record(self, event: Event) -> int:
        """Record what is about to be done. Returns its number.

        Raises:
            AuditError: it is not recorded: do not do it. SecureElementError: a checkpoint was due first and the
                element did not sign; it is not recorded either.
        """
        full = self._size >= frames.SEGMENT_BYTES
        if self._unsigned >= CHECKPOINT_EVERY - 1 or (full and self._unsigned):
            self._sign()
        if full:
            with self._errors():
                self._open_segment(self._number + 1)
        self._write(event)
        return self._sequence

    def checkpoint(self) -> bytes:
        """Sign the log as it stands. Returns the signed envelope; the last one where nothing has come since.

        Raises AuditError, SecureElementError.
        """
        latest = self._latest
        if latest is None or self._unsigned or latest[1].counter != self._counter():
            return self._sign()
        return latest[0]

    def drop_before(self, at: int) -> int:
        """Delete the oldest segments, those with no record later than `at`. Returns how many.

        Raises AuditError, SecureElementError: none was deleted that the log does not tell of.
        """
        segments = frames.segments(self._folder)
        begins = [frames.first(path) for _, path in segments]
        kept = next(
            (i for i in range(len(segments) - 1) if (after := begins[i + 1]) is None or after.at > at),
            len(segments) - 1,
        )
        first = begins[kept]
        if kept <= 0 or first is None:
            return 0
        self.record(events.SegmentsDropped(first=first.sequence))
        self._sign()
        with self._errors():
            for _, path in segments[:kept]:
                path.unlink()
            os.fsync(self._folder_fd)
        return kept

    def close(self) -> None:
        """Record the end where there was a start, and close. It never raises: what failed stands in the log file."""
        if self._fd >= 0:
            try:
                self.record(events.Stopped())
                self._sign()
            except (AuditError, SecureElementError) as error:
                _log.error("the audit log ends without a signature: %s", error)
            os.close(self._fd)
            self._fd = -1
        if self._folder_fd >= 0:
            os.close(self._folder_fd)
            self._folder_fd = -1

    def _write(self, event: Event) -> None:
        try:
            body = schema.encode(event)
            schema.decode(body, type(event))  # what is out of bounds is not written
        except PaymentError as error:
            raise AuditError("audit_write", f"{type(event).__name__} cannot be recorded: {error}") from error
        self._append(_NUMBER[type(event)], body)
        self._unsigned += 1

    def _sign(self) -> bytes:
        told = Checkpoint(
            terminal=self._terminal,
            sequence=self._sequence + 1,
            head=self._head,
            at=self._now(),
            counter=self._counter(),
        )
        kid = key_id(load_public_key(self._element.public_key))
        envelope = schema.sign(told, self._element.sign, kid)
        self._append(_NUMBER[Checkpoint], envelope)
        self._unsigned, self._latest = 0, (envelope, told)
        with self._errors():
            self._keep_beside(envelope)
        return envelope

    def _keep_beside(self, envelope: bytes) -> None:
        """Put the checkpoint beside the folder, whole or not at all."""
        partial = self._beside.with_suffix(".partial")
        fd = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            os.write(fd, envelope)
            os.fsync(fd)
        finally:
            os.close(fd)
        partial.replace(self._beside)

    def _signed_up_to(self) -> int:
        """Number of the checkpoint that lies beside; 0 where none can be read."""
        try:
            return schema.decode(cose.peek(self._beside.read_bytes()), Checkpoint).sequence
        except (OSError, PaymentError):
            return 0

    def _counter(self) -> int:
        return self._element.counter() if Capability.MONOTONIC_COUNTER in self._element.capabilities else 0

    def _append(self, kind: int, body: bytes) -> None:
        """Put one record on the disk, whole, or leave nothing of it."""
        if self._fd < 0 or self._failed:
            why = "was not started" if self._fd < 0 else "failed before and is not trusted"
            raise AuditError("audit_write", f"{self._folder}: the audit log {why}; start the terminal anew")
        data, digest = frames.pack(self._sequence + 1, self._head, self._now(), kind, body)
        try:
            if os.write(self._fd, data) != len(data):
                raise OSError("written in part")
            os.fsync(self._fd)
        except OSError as error:
            self._take_back()
            raise AuditError(
                "audit_write", f"{self._folder}: cannot be written ({error}); free disk space and check it is writable"
            ) from error
        self._sequence, self._head, self._size = self._sequence + 1, digest, self._size + len(data)

    def _now(self) -> int:
        """The time, and where it is not known yet that of the record before: what has surely passed."""
        self._at = max(self._at, self._clock())
        return self._at

    def _take_back(self) -> None:
        try:
            os.ftruncate(self._fd, self._size)
            os.fsync(self._fd)
        except OSError:
            self._failed = True

    def _open_segment(self, number: int) -> None:
        path = self._folder / frames.segment_name(number)
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        os.fsync(self._folder_fd)
        if self._fd >= 0:
            os.close(self._fd)
        if number != self._number:
            self._number, self._size = number, 0
        self._fd = fd

    def _load(self) -> None:
        """Find the chain's head, what is unsigned, and the start before; read no more segments than that takes."""
        tail = True
        for number, path in reversed(frames.segments(self._folder)):
            if tail:
                self._number = max(number, self._number)
            found = self._load_segment(path, tail=tail)
            tail = tail and not found
            if self._before is not None:
                return

    def _load_segment(self, path: Path, *, tail: bool) -> bool:
        """Read one segment; the last that holds a record (`tail`) is also checked. Returns whether it holds one."""
        data = frames.read(path)
        end, last = 0, None
        for frame, behind in frames.scan(data):
            if tail and last is not None and (frame.previous != last.digest or frame.sequence != last.sequence + 1):
                raise self._damaged(path, frame.sequence)
            end, last = behind, frame
            if tail:
                self._take(frame)
            if frame.kind == _NUMBER[Started]:
                self._before = schema.decode(frame.body, Started)
        if tail:
            if len(data) - end > frames.MAX_FRAME_BYTES or frames.resync(data[end:]) is not None:
                raise self._damaged(path, self._sequence + 1)
            if path.name == frames.segment_name(self._number):
                self._size, self._torn = end, len(data) - end
        return last is not None

    def _take(self, frame: frames.Frame) -> None:
        self._sequence, self._head = frame.sequence, frame.digest
        self._at = max(self._at, min(frame.at, LATEST))
        if frame.kind == _NUMBER[Checkpoint]:
            self._unsigned = 0
            self._latest = (frame.body, schema.decode(cose.peek(frame.body), Checkpoint))
        else:
            self._unsigned += 1

    def _damaged(self, path: Path, sequence: int) -> AuditError:
        return AuditError(
            "audit_damaged",
            f"{path}: altered at record {sequence}; see `tessera audit verify`, keep the folder for the auditor and "
            "put it aside: the terminal then begins a new log",
        )

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise AuditError(
                "audit_write", f"{self._folder}: {error}; free disk space, check it is writable"
            ) from error
