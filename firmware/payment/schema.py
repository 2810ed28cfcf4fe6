"""A frozen msgspec struct <-> a CBOR map whose key n is the struct's nth field, counted from 0.

Rules kept here:
- At most 24 fields, none optional: a missing and an extra field are both refused.
- Types are exact: conversion is strict and knows bytes natively, so text never passes for bytes (as base64) nor
  `true` for 1. Bounds stand in the fields' annotations.
- The order of fields is the wire format: a field is appended, never moved. A change of meaning is a new `TYP`.
"""

from functools import cache
from typing import ClassVar, TypeVar

import msgspec

from firmware.payment import cbor, cose
from firmware.payment.errors import PaymentError


class Message(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is signed. `TYP` separates the kinds, so that no message passes for another."""

    TYP: ClassVar[str] = ""


M = TypeVar("M", bound=Message)


def encode(message: Message) -> bytes:
    """Encode as the deterministic CBOR map."""
    return cbor.encode(_to_map(message))


def decode(data: bytes, kind: type[M]) -> M:
    """Decode a `kind`.

    Raises:
        PaymentError: `malformed`, `non_canonical` or `schema`.
    """
    try:
        return msgspec.convert(_named(cbor.decode(data), kind), kind, strict=True, builtin_types=(bytes,))
    except msgspec.ValidationError as error:
        raise PaymentError("schema", f"{kind.__name__}: {error}") from error


def sign(message: Message, signer: cose.Signer, kid: bytes) -> bytes:
    """Return the signed envelope of `message`. Raises PaymentError `schema` for a value out of its bounds."""
    payload = encode(message)
    decode(payload, type(message))  # a struct's constructor checks no bounds
    return cose.sign(payload, signer, kid, message.TYP)


def verify(envelope: bytes, kind: type[M], resolve_key: cose.ResolveKey) -> tuple[bytes, M]:
    """Return (key id, message) of an envelope whose signature holds. Raises PaymentError."""
    kid, payload = cose.verify(envelope, resolve_key, kind.TYP)
    return kid, decode(payload, kind)


def _to_map(message: Message) -> dict[int, cbor.Item]:
    values = (getattr(message, name) for name in message.__struct_fields__)
    return {key: _to_item(value) for key, value in enumerate(values)}


def _to_item(value: object) -> cbor.Item:
    if isinstance(value, Message):
        return _to_map(value)
    if isinstance(value, tuple):
        return [_to_item(part) for part in value]
    assert isinstance(value, int | bytes | str)
    return value


def _named(item: cbor.Item, kind: type[Message]) -> dict[str, object]:
    """Give the map's keys their field names, in nested messages too."""
    fields = _fields(kind)
    if not isinstance(item, dict) or item.keys() != set(range(len(fields))):
        raise PaymentError("schema", f"{kind.__name__}: not a map of exactly the keys 0..{len(fields) - 1}")
    return {
        name: item[key] if nested is None else _named(item[key], nested) for key, (name, nested) in enumerate(fields)
    }


@cache
def _fields(kind: type[Message]) -> tuple[tuple[str, type[Message] | None], ...]:
    """Name of each field, and its type where that is a message too; the same for ever."""
    return tuple(
        (field.name, field.type if isinstance(field.type, type) and issubclass(field.type, Message) else None)
        for field in msgspec.structs.fields(kind)
    )
