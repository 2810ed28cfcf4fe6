"""What may pass `link`, field by field: an allow-list. Whoever adds a field stops here and says why it may leave."""

from typing import Any, get_args

import msgspec
import pytest

from firmware.link.topics import INBOUND
from firmware.payment import messages
from firmware.runtime.messages import FromLink, Inbound, Outbound, ToLink

LINK = {
    "Publish": {"kind", "envelope"},
    "LastWill": {"envelope"},
    "TimeFloor": {"at"},
    "Certificate": {"certificate"},
    "Delivered": {"kind", "envelope"},
    "LinkState": {"connected", "detail", "tls_until"},
    "WantCertificate": {"request"},
}
ENVELOPES: dict[str, tuple[type[Any], dict[str, str]]] = {
    "intent": (
        messages.Intent,
        {
            "id": "bytes <= 16", "issued_at": "int", "expires_at": "int", "terminal": "str <= 64",
            "merchant": "str <= 64", "amount_minor": "int", "currency": "str ^[A-Z]{3}\\Z", "exponent": "int",
            "challenge": "bytes <= 32", "assurance": "one of 3", "payer": "str <= 64", "counter": "int",
        },
    ),
    "authorization": (
        messages.Authorization,
        {
            "id": "bytes <= 16", "intent": "bytes <= 16", "intent_hash": "bytes <= 32", "challenge": "bytes <= 32",
            "terminal": "str <= 64", "merchant": "str <= 64", "amount_minor": "int",
            "currency": "str ^[A-Z]{3}\\Z", "exponent": "int", "counter": "int", "issued_at": "int",
            "expires_at": "int", "evidence.assurance": "one of 3", "evidence.gates": "at most 16 of str <= 32",
            "evidence.match_band": "int", "evidence.record": "bytes <= 32", "payer": "str <= 64",
            "mandate": "bytes <= 16", "profile": "str <= 64", "policy": "bytes <= 32", "thresholds": "bytes <= 32",
            "models": "bytes <= 32", "firmware": "str <= 14", "camera": "str <= 64", "display_hash": "bytes <= 32",
            "allowance": "bytes <= 16",
        },
    ),
    "decline": (
        messages.Decline,
        {
            "intent": "bytes <= 16", "intent_hash": "bytes <= 32", "terminal": "str <= 64", "counter": "int",
            "issued_at": "int", "reason": "str <= 32",
        },
    ),
    "receipt": (
        messages.Receipt,
        {
            "digest": "bytes <= 32", "intent": "bytes <= 16", "terminal": "str <= 64", "outcome": "one of 3",
            "code": "str <= 32", "issued_at": "int",
        },
    ),
    "cancellation": (
        messages.Cancellation,
        {"intent": "bytes <= 16", "intent_hash": "bytes <= 32", "terminal": "str <= 64", "issued_at": "int"},
    ),
    "beacon-request": (
        messages.BeaconRequest,
        {"terminal": "str <= 64", "nonce": "bytes <= 32", "counter": "int", "waiting": "int"},
    ),
    "beacon": (
        messages.Beacon,
        {
            "terminal": "str <= 64", "nonce": "bytes <= 32", "time": "int", "counter": "int",
            "allowance.id": "bytes <= 16", "allowance.currency": "str ^[A-Z]{3}\\Z", "allowance.exponent": "int",
            "allowance.payment_minor": "int", "allowance.payer_minor": "int", "allowance.terminal_minor": "int",
            "allowance.hold_s": "int", "allowance.expires_at": "int",
        },
    ),
    "key-set": (
        messages.KeySet,
        {
            "version": "int", "issued_at": "int", "expires_at": "int", "environment": "one of 2",
            "keys": "at most 8 of bytes <= 91",
        },
    ),
    "status": (
        messages.Status,
        {
            "terminal": "str <= 64", "connection": "bytes <= 16", "sequence": "int", "presence": "one of 2",
            "issued_at": "int", "profile": "str <= 64", "firmware": "str <= 14", "models": "bytes <= 32",
            "camera": "str <= 64", "key_set": "int", "counter": "int", "waiting": "int", "people": "int",
            "tls_until": "int",
        },
    ),
    "certificate-request": (
        messages.CertificateRequest,
        {"terminal": "str <= 64", "request": "bytes <= 512", "issued_at": "int"},
    ),
    "certificate": (
        messages.CertificateGrant,
        {"terminal": "str <= 64", "request": "bytes <= 32", "certificate": "bytes <= 2048"},
    ),
}  # fmt: skip


def told(of: msgspec.inspect.Type) -> str:
    """A type in words, with its bound."""
    if isinstance(of, msgspec.inspect.BytesType):
        return f"bytes <= {of.max_length}"
    if isinstance(of, msgspec.inspect.StrType):
        return f"str <= {of.max_length}" if of.max_length else f"str {of.pattern}"
    if isinstance(of, msgspec.inspect.LiteralType):
        return f"one of {len(of.values)}"
    if isinstance(of, msgspec.inspect.VarTupleType):
        return f"at most {of.max_length} of {told(of.item_type)}"
    assert isinstance(of, msgspec.inspect.IntType), f"{of}: no number with a fraction, no array, nothing else passes"
    return "int"


def fields(kind: type[Any], within: str = "") -> dict[str, str]:
    found: dict[str, str] = {}
    struct = msgspec.inspect.type_info(kind)
    assert isinstance(struct, msgspec.inspect.StructType)
    for field in struct.fields:
        if isinstance(field.type, msgspec.inspect.StructType):
            found |= fields(field.type.cls, f"{within}{field.name}.")
        else:
            found[within + field.name] = told(field.type)
    return found


def test_link_is_handed_nothing_but_envelopes_and_its_own_state() -> None:
    kinds = [*get_args(ToLink), *get_args(FromLink)]
    assert {kind.__name__: set(kind.__struct_fields__) for kind in kinds} == LINK


def test_nothing_but_these_kinds_has_a_topic() -> None:
    assert {*get_args(Inbound), *get_args(Outbound), *INBOUND} == ENVELOPES.keys()


@pytest.mark.parametrize("topic", ENVELOPES)
def test_envelope_holds_these_fields_in_these_bounds_and_no_others(topic: str) -> None:
    kind, allowed = ENVELOPES[topic]
    assert fields(kind) == allowed


def test_no_field_that_leaves_could_hold_a_template_even_as_int8() -> None:
    """The smallest form of one is 768 bytes; the widest byte string that leaves is a certificate request of 512."""
    widest = [
        int(words.split()[2])
        for kind in get_args(Outbound)
        for words in ENVELOPES[kind][1].values()
        if words[:2] in ("by", "st") and "<=" in words
    ]
    assert max(widest) == 512
