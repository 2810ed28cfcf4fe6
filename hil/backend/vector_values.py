"""The edges of every field of a signed message: the least and the most it may be, and what it may not be.

Rules kept here:
- Limits are read from the types; a pattern has its samples here, and one without samples is an error.
"""

from typing import Any, NamedTuple

import msgspec
from msgspec import inspect

from firmware.payment import cbor, schema

_NAME = r"[A-Za-z0-9][A-Za-z0-9._:-]"


class Edges(NamedTuple):
    """What a field may be at least and at most, and what it may not be, as CBOR items."""

    least: cbor.Item
    most: cbor.Item
    never: tuple[cbor.Item, ...]


_TEXT: dict[str | None, Edges] = {
    None: Edges("A", 64 * "\u754c", (65 * "A",)),
    r"^[A-Z]{3}\Z": Edges("AAA", "ZZZ", ("EU", "EURO", "eur")),
    rf"^{_NAME}*\Z": Edges("0", 64 * "z", ("", 65 * "z", "-x", "x/y", "x\n")),
    rf"^({_NAME}{{0,63}})?\Z": Edges("", 64 * "z", (65 * "z", "-x")),
    r"^[0-9]{1,4}\.[0-9]{1,4}\.[0-9]{1,4}\Z": Edges("0.0.0", "9999.9999.9999", ("1.0", "v1.0.0", "1.0.00000")),
    r"^[a-z][a-z0-9_]*\Z": Edges("a", 32 * "a", ("", 33 * "a", "A", "0a")),
    r"^([a-z][a-z0-9_]{0,31})?\Z": Edges("", 32 * "a", (33 * "a", "A")),
    r"^[a-z_]*\Z": Edges("", 32 * "_", (33 * "_", "A")),
    r"^[A-Za-z0-9][A-Za-z0-9._-]*\Z": Edges("0", 32 * "z", ("", 33 * "z", "1:0")),
    r"^[a-z]{2,3}(-[A-Z][a-z]{3})?(-([A-Z]{2}|[0-9]{3}))?\Z": Edges("de", "zh-Hans-419", ("d", "DE", "deutsch")),
    r"^[0-9]{4}-[0-9]{2}-[0-9]{2}\Z": Edges("0001-01-01", "9999-12-31", ("1990-1-1", "19900101")),
}


def edges(kind: inspect.Type) -> Edges:
    """Return the edges of a field's type."""
    match kind:
        case inspect.IntType(ge=int(least), le=int(most)):
            return Edges(least, most, (least - 1, most + 1, str(most), True))
        case inspect.BytesType(min_length=int(least), max_length=int(most)):
            return Edges(bytes(least), b"\xff" * most, (bytes(least - 1), bytes(most + 1), most * "a"))
        case inspect.StrType(min_length=least, pattern=pattern):
            found = _TEXT[pattern]
            short = pattern is None and not least
            return Edges("" if short else found.least, found.most, (*found.never, b"a", 7))
        case inspect.LiteralType(values=values):
            words = sorted(str(value) for value in values)
            return Edges(words[0], words[-1], ("", words[0].upper(), 0))
        case inspect.VarTupleType(item_type=item, min_length=least, max_length=int(most)):
            return _array(edges(item), least or 0, most)
        case inspect.StructType(cls=cls):
            return _nested(cls)
    raise ValueError(f"no samples for {kind}")


def fields_of(kind: type[msgspec.Struct]) -> tuple[inspect.Field, ...]:
    """Return the fields of a message in the order of the wire."""
    info = inspect.type_info(kind)
    assert isinstance(info, inspect.StructType)
    return info.fields


def _array(item: Edges, least: int, most: int) -> Edges:
    few: list[Any] = [item.least] * least
    many: list[Any] = [item.least, item.most] if most == 2 else [item.most] * most
    return Edges(few, many, ([item.most] * (most + 1), [item.never[0]], "a", *([[]] if least else [])))


def _nested(cls: type[Any]) -> Edges:
    assert issubclass(cls, schema.Message)
    inner = [edges(field.type) for field in fields_of(cls)]
    least: dict[int, cbor.Item] = {key: each.least for key, each in enumerate(inner)}
    most: dict[int, cbor.Item] = {key: each.most for key, each in enumerate(inner)}
    never = tuple(least | {key: value} for key, each in enumerate(inner) for value in each.never)
    return Edges(least, most, (*never, {0: "geometry"}, least | {len(inner): 0}, []))
