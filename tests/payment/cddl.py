"""A reader of `docs/protocol.cddl` and of the message types, both into the same shapes, so that they compare.

It reads the part of CDDL (RFC 8610) that file uses and fails on anything else; a whole implementation judges the
file in `make oracle`.
"""

import re
from typing import Any

import msgspec

from firmware.gallery.consent import ConsentRecord
from firmware.payment.messages import (
    Authorization,
    Beacon,
    BeaconRequest,
    Cancellation,
    CertificateGrant,
    CertificateRequest,
    Decline,
    ErasureReceipt,
    GuardianMandate,
    Intent,
    KeySet,
    Mandate,
    Receipt,
    Reconciliation,
    Status,
)
from firmware.payment.schema import Message

Shape = tuple[Any, ...]
"""`("int", least, most)`, `("bytes", least, most)`, `("text", least, most, pattern)`, `("choice", words)`,
`("array", least, most, item)` or `("map", ((name, shape), ...))`. A missing limit is 0 or None."""

KINDS: dict[str, type[Message]] = {
    "intent": Intent,
    "authorization": Authorization,
    "decline": Decline,
    "receipt": Receipt,
    "mandate": Mandate,
    "guardian-mandate": GuardianMandate,
    "erasure-receipt": ErasureReceipt,
    "consent-record": ConsentRecord,
    "key-set": KeySet,
    "beacon-request": BeaconRequest,
    "beacon": Beacon,
    "cancellation": Cancellation,
    "status": Status,
    "certificate-request": CertificateRequest,
    "certificate": CertificateGrant,
    "reconciliation": Reconciliation,
}
RULE = re.compile(r"^([a-z-]+) = (\{\n.*?^\}|[^\n]*)", re.MULTILINE | re.DOTALL)
FIELD = re.compile(r"^  (\d+) => (.*?), +; ([a-z0-9_]+)$")
ENVELOPE = re.compile(r'^([a-z-]+)-envelope = envelope<"([^"]+)", ([a-z-]+)>$', re.MULTILINE)


def envelopes(text: str) -> dict[str, str]:
    """Which type each message travels under: `{rule: typ}`."""
    found = ENVELOPE.findall(text)
    assert all(name == message for name, _, message in found), found
    return {name: typ for name, typ, _ in found}


def shapes(text: str) -> dict[str, Shape]:
    """Every rule of the file but the envelope's, resolved."""
    bodies = {name: body for name, body in RULE.findall(text) if not body.startswith("envelope<")}
    return {name: _shape(body, bodies) for name, body in bodies.items()}


def _shape(body: str, rules: dict[str, str]) -> Shape:
    if body.startswith("{\n"):
        return _map(body, rules)
    body = re.sub(r" +;.*", "", body).strip()
    if body in rules:
        return _shape(rules[body], rules)
    if match := re.fullmatch(r"(\d+)\.\.(\d+)", body):
        return "int", int(match[1]), int(match[2])
    if match := re.fullmatch(r"bstr \.size (\d+)", body):
        return "bytes", int(match[1]), int(match[1])
    if match := re.fullmatch(r"bstr \.size \((\d+)\.\.(\d+)\)", body):
        return "bytes", int(match[1]), int(match[2])
    if match := re.fullmatch(r'\(tstr \.size \((\d+)\.\.(\d+)\)\) \.and \(tstr \.regexp "(.*)"\)', body):
        return "text", int(match[1]), int(match[2]), match[3]
    if match := re.fullmatch(r'tstr \.regexp "\.\{(\d+),(\d+)\}"', body):
        return "text", int(match[1]), int(match[2]), None
    if match := re.fullmatch(r'tstr \.regexp "(.*)"', body):
        return "text", 0, None, match[1]
    if match := re.fullmatch(r"\[(\d+)\*(\d+) ([a-z-]+)\]", body):
        return "array", int(match[1]), int(match[2]), _shape(match[3], rules)
    if re.fullmatch(r'"[a-z_]+"( / "[a-z_]+")*', body):
        return "choice", tuple(sorted(re.findall(r'"([a-z_]+)"', body)))
    raise AssertionError(f"not read: {body}")


def _map(body: str, rules: dict[str, str]) -> Shape:
    fields = []
    for at, line in enumerate(body.splitlines()[1:-1]):
        match = FIELD.match(line)
        assert match is not None, line
        assert int(match[1]) == at, line
        fields.append((match[3], _shape(match[2], rules)))
    return "map", tuple(fields)


def shape_of(kind: type[msgspec.Struct]) -> Shape:
    """The shape of a message type."""
    return _shape_of(msgspec.inspect.type_info(kind))


def _shape_of(kind: msgspec.inspect.Type) -> Shape:
    match kind:
        case msgspec.inspect.IntType(ge=least, le=most):
            return "int", least, most
        case msgspec.inspect.BytesType(min_length=least, max_length=most):
            return "bytes", least, most
        case msgspec.inspect.StrType(min_length=least, max_length=most, pattern=pattern):
            bare = None if pattern is None else pattern.removeprefix("^").removesuffix(r"\Z").replace(r"\.", "[.]")
            return "text", least or 0, most, bare
        case msgspec.inspect.LiteralType(values=words):
            return "choice", tuple(sorted(str(word) for word in words))
        case msgspec.inspect.VarTupleType(item_type=item, min_length=least, max_length=most):
            return "array", least or 0, most, _shape_of(item)
        case msgspec.inspect.StructType(fields=fields):
            assert all(field.required for field in fields), kind.cls
            return "map", tuple((field.name, _shape_of(field.type)) for field in fields)
    raise AssertionError(f"no shape for {kind}")
