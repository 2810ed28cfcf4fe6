"""The notice in force: the file that `[privacy]` names, by its SHA-256. Without one nobody can be asked for consent."""

import hashlib
from pathlib import Path

from firmware.gallery.consent import ConsentError, Notice
from firmware.runtime.config import PrivacyConfig

MAX_NOTICE_BYTES = 1024 * 1024


def load_notice(privacy: PrivacyConfig | None) -> Notice:
    """Read what people are told at this terminal.

    Raises:
        ConsentError: `no_notice`, with what to do.
    """
    if privacy is None:
        raise ConsentError("no_notice", "The configuration has no [privacy]: without a notice nobody can be enrolled.")
    return Notice(
        version=privacy.notice_version,
        sha256=hashlib.sha256(notice_bytes(privacy)).digest(),
        languages=privacy.languages,
        retention_days=privacy.retention_days,
        zone=privacy.zone,
    )


def notice_bytes(privacy: PrivacyConfig) -> bytes:
    """The notice as people are shown it. Raises ConsentError `no_notice`."""
    path = Path(privacy.notice)
    try:
        with path.open("rb") as file:
            text = file.read(MAX_NOTICE_BYTES + 1)
    except OSError as error:
        raise ConsentError(
            "no_notice", f"{path}: {error.strerror}; `tessera privacy notice` drafts a notice to begin with."
        ) from error
    if not text.strip() or len(text) > MAX_NOTICE_BYTES:
        raise ConsentError("no_notice", f"{path}: empty, or larger than {MAX_NOTICE_BYTES} bytes; it is no notice.")
    return text
