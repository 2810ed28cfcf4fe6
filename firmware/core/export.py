"""Everything that is kept of one person but the template, as they may have it: JSON, in plain words.

Rules kept here:
- The template is not in it, nor any score: it says nothing to a person, and much to whoever wants to build a mask.
- What is not handed out is named, with the reason.
"""

import datetime
from pathlib import Path

import msgspec

from firmware.audit.events import who
from firmware.audit.export import records
from firmware.core.parts import Parts
from firmware.core.pins import Pins
from firmware.gallery.consent import ConsentRecord, consent_hash
from firmware.gallery.gallery import Enrolled
from firmware.runtime.messages import MAX_EXPORT_BYTES

LEFT_OUT = (
    "The face template: numbers made of the face, sealed in this terminal. It is of no use to you, and would help "
    "somebody else to pass for you.",
    "What a PIN is checked against, where you have set one: you know the PIN, and nobody else is to find it from this.",
    "Single payments: this terminal keeps none once they are settled. Ask whoever keeps your account.",
)
MOST_ACTS = 200


def acts_of(folder: Path, enrolled: Enrolled) -> list[dict[str, object]]:
    """What the audit log holds of a person, newest last, `MOST_ACTS` at most. Reads all of it. Raises AuditError."""
    about = who(enrolled.audit_key, enrolled.person)
    acts = [record for record in records(folder, about=about) if record.get("who") == about.hex()]
    return acts[-MOST_ACTS:]


def document(parts: Parts, enrolled: Enrolled, record: ConsentRecord, acts: list[dict[str, object]]) -> bytes:
    """The document, at most `MAX_EXPORT_BYTES`: of more acts than fit, the newest."""
    kept = {
        "person": enrolled.person,
        "terminal": parts.config.terminal,
        "exported_at": _day(parts.now_or_floor()),
        **_responsible(parts),
        "enrolled": {
            "at": _day(enrolled.enrolled_at),
            "last_seen": _day(enrolled.last_seen),
            "erased_by_itself": _day(enrolled.ends_at),
            "purposes": enrolled.purposes,
            "payer_token": enrolled.payer,
            "mandate": enrolled.mandate.hex(),
            "wrong_matches_reported": enrolled.disputes,
            "failed_tries_in_a_row": parts.attempts.standing(enrolled.mandate).failed,
            "pin": Pins(parts).told(enrolled.person),
        },
        "consent": _consent(enrolled.consent, record),
        "named_in_the_audit_log_as": who(enrolled.audit_key, enrolled.person).hex(),
        "left_out": LEFT_OUT,
    }
    while True:
        made = msgspec.json.encode({**kept, "audit_log": acts})
        if len(made) <= MAX_EXPORT_BYTES or not acts:
            return made
        acts = acts[len(acts) // 2 + 1 :]


def _responsible(parts: Parts) -> dict[str, object]:
    privacy = parts.config.privacy
    if privacy is None:
        return {}
    return {"responsible": privacy.controller, "contact": privacy.contact, "other_way": privacy.other_way}


def _consent(envelope: bytes, record: ConsentRecord) -> dict[str, object]:
    told = {name: getattr(record, name) for name in record.__struct_fields__}
    told["notice_sha256"] = record.notice_sha256.hex()
    for name in ("given_at", "recorded_at", "guardian_given_at"):
        told[name] = _day(told[name]) if told[name] else ""
    return told | {"signed_record": envelope.hex(), "sha256": consent_hash(envelope).hex()}


def _day(at: int) -> str:
    return datetime.datetime.fromtimestamp(at, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
