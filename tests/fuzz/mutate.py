"""Hostile bytes from good ones: the same random source gives the same mutants."""

import random
from collections.abc import Callable, Sequence

from firmware.payment import cbor

Bend = Callable[[bytes, random.Random], bytes]

# heads and values that CBOR, MessagePack, COSE and JSON readers trip over
SPARKS = (
    *(bytes([byte]) for byte in (0x00, 0x17, 0x18, 0x1B, 0x1F, 0x5F, 0x7F, 0x80, 0x9F, 0xA0, 0xBF, 0xC0, 0xD2, 0xF4)),
    *(b"\xf6", b"\xf7", b"\xf9\x7e\x00", b"\xfb", b"\xff", b"\xd8\x62", b"\xc1", b"\xdb", b"\xdd\xff\xff\xff\xff"),
    *(b"\x9b\x7f\xff\xff\xff\xff\xff\xff\xff", b"\xbb" + 8 * b"\xff", b"\x5b" + 8 * b"\xff", b"\x81" * 40),
    *(b'"', b"\\", b"{", b"}" * 8, b"[" * 64, b"\xed\xa0\x80", b"\n", b"null", b"1e999", b"\xf0\x9f\x92\xb6"),
)
ODD: tuple[cbor.Item, ...] = (
    0, 1, -1, 9, 10, 2**53, 2**53 + 1, 2**63, 2**64 - 1, -(2**64), 1_800_000_000, b"", bytes(16), bytes(32), bytes(33),
    "", "a", "A", "till-1", "till-2", "EUR", "JPY", "x" * 65, "\u0000", "approved", "dynamic", "payment", True, False,
    [], ["a"], ["a"] * 17, {}, {0: 0}, {23: 1},
)  # fmt: skip


def mutants(source: random.Random, samples: Sequence[bytes], bend: Bend | None, count: int) -> list[bytes]:
    """Return `count` of them: bent by structure (a quarter, where `bend` knows how), the rest by bytes."""
    made = []
    for number in range(count):
        data = source.choice(samples)
        if bend is not None and number % 4 == 0:
            data = bend(data, source)
        else:
            for _ in range(source.choice((1, 1, 2, 4))):
                data = _bytewise(data, source, samples)
        made.append(data)
    return made


def _bytewise(data: bytes, source: random.Random, samples: Sequence[bytes]) -> bytes:
    at = source.randrange(len(data) + 1)
    size = source.choice((1, 1, 2, 4, 8, 32))
    match source.randrange(7):
        case 0:
            return data[:at] + bytes([data[at] ^ 1 << source.randrange(8)]) + data[at + 1 :] if at < len(data) else data
        case 1:
            return data[:at] + source.choice(SPARKS) + data[at + size :]
        case 2:
            return data[:at] + source.choice(SPARKS) + data[at:]
        case 3:
            return data[:at] + data[at + size :]
        case 4:
            return data[: at + size] + data[at:]
        case 5:
            other = source.choice(samples)
            return data[:at] + other[source.randrange(len(other) + 1) :]
        case _:
            return data[:at]


def bend_cbor(data: bytes, source: random.Random) -> bytes:
    """A well-formed map with an odd value in one place, gone, or one more."""
    item = cbor.decode(data)
    assert isinstance(item, dict)
    key = source.randrange(24)
    inner = item.get(key)
    if isinstance(inner, dict) and source.random() < 0.7:
        return cbor.encode(item | {key: inner | {source.randrange(5): source.choice(ODD)}})
    if source.random() < 0.1:
        item.pop(key, None)
        return cbor.encode(item)
    return cbor.encode(item | {source.choice((key, source.randrange(len(item)))): source.choice(ODD)})
