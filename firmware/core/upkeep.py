"""What a technician does to the terminal's keys and files: rotation, backup.

Rules kept here:
- Only while nobody is served.
- The device identity is exchanged for one that waits, whose certificate was requested, and only while no envelope
  waits for its receipt: the backend could not tell whose it is. The audit log is signed by the old one right before,
  and by the new one right after.
"""

import datetime
from pathlib import Path

from firmware.audit import events
from firmware.core.errors import TerminalError
from firmware.core.parts import Parts
from firmware.core.stand import BusyError, Stand
from firmware.payment.trust import key_id, load_public_key


def rotate(parts: Parts, stand: Stand, what: str, by: str) -> str:
    """Exchange one of the terminal's keys; returns what was done, in plain words.

    Args:
        parts: of the terminal.
        stand: must be at rest.
        what: as in `messages.Rotate`.
        by: the technician.

    Raises:
        AuditError, BusyError, GalleryError, SecureElementError, TerminalError: the old key is in force.
    """
    if stand.busy:
        raise BusyError
    if what == "identity":
        return _adopt(parts, by)
    if what == "sealing":
        parts.journal.must(events.KeyRotated(kind="sealing", key=str(parts.gallery.epoch + 1), by=by))
        return f"sealed anew, epoch {parts.gallery.rotate_sealing()}"
    parts.journal.must(events.KeyRotated(kind="transform", key=what, by=by))
    return f"{parts.gallery.reissue(what)} templates for {what} turned and sealed anew"


def backup(parts: Parts, by: str) -> Path:
    """Copy the gallery into `<state_dir>/backup`; returns the file. Raises AuditError, GalleryError, TerminalError."""
    folder = Path(parts.config.state_dir) / "backup"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise TerminalError(f"{folder}: {error.strerror}", "backup") from error
    at = datetime.datetime.fromtimestamp(parts.now_or_floor(), datetime.timezone.utc)
    path = folder / f"gallery-{at:%Y%m%dT%H%M%SZ}.db"
    parts.journal.must(events.Backup(people=len(parts.gallery), by=by))
    parts.gallery.backup(path)
    return path


def _adopt(parts: Parts, by: str) -> str:
    if parts.outbox.waiting():
        raise TerminalError("An envelope waits for its receipt: try again once it is settled.", "busy")
    parts.element.prove_identity(b"")  # only one that was asked for: the backend knows no other
    successor = parts.element.prepare_identity()
    waiting = key_id(load_public_key(successor)).hex()
    parts.journal.must(events.KeyRotated(kind="identity", key=waiting, by=by))
    parts.journal.checkpoint()
    parts.identities.awaiting(successor)  # before: what it signs must be readable whatever happens now
    parts.element.adopt_identity()
    parts.identities.adopted(parts.element.public_key)
    parts.journal.checkpoint()
    return f"identity {waiting} is in force; the backend must know it"
