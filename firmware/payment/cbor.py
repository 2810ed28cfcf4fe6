"""Deterministic CBOR (RFC 8949, 4.2.1), only the part our messages use.

Rules kept here:
- Unsigned and negative integers, byte and text strings, arrays, maps, booleans. No tag, float, null or indefinite
  length: a general decoder builds dates, decimals, regular expressions and shared references from hostile bytes.
- Exactly one item, bounded in depth and in number; work grows linearly with the bytes given.
- One value has one encoding: what was read is encoded again and must give the same bytes. `cbor2` sorts map keys
  by length first (RFC 7049), equal to RFC 8949 only for the integers 0 to 23, so those are our only keys.
"""

import cbor2

from firmware.payment.errors import PaymentError

Item = int | bytes | str | bool | list["Item"] | dict[int, "Item"]

MAX_DEPTH = 4
MAX_ITEMS = 256
MAX_KEY = 23


def encode(item: Item) -> bytes:
    """Encode deterministically."""
    return cbor2.dumps(item, canonical=True)


def decode(data: bytes) -> Item:
    """Decode exactly one item.

    Raises:
        PaymentError: `malformed`, or `non_canonical` for a second encoding of a value.
    """
    reader = _Reader(data)
    item = reader.item(0)
    if reader.at != len(data):
        raise PaymentError("malformed", f"{len(data) - reader.at} bytes trail the CBOR item")
    if encode(item) != data:
        raise PaymentError("non_canonical", "not in the one deterministic encoding")
    return item


class _Reader:
    """A cursor over the bytes; `at` is the next one unread."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0
        self.items = 0

    def take(self, size: int) -> bytes:
        if size > len(self.data) - self.at:
            raise PaymentError("malformed", "CBOR ends too early")
        self.at += size
        return self.data[self.at - size : self.at]

    def head(self) -> tuple[int, int, int]:
        """Read an item's head. Returns (major type, additional information, argument)."""
        major, info = divmod(self.take(1)[0], 32)
        if info > 27:
            raise PaymentError("malformed", "CBOR of indefinite or reserved length")
        return major, info, info if info < 24 else int.from_bytes(self.take(1 << (info - 24)), "big")

    def item(self, depth: int) -> Item:
        self.items += 1
        if depth > MAX_DEPTH or self.items > MAX_ITEMS:
            raise PaymentError("malformed", "CBOR nested too deep or of too many items")
        major, info, value = self.head()
        if major == 0:
            return value
        if major == 1:
            return -1 - value
        if major == 2:
            return self.take(value)
        if major == 3:
            return self.text(value)
        if major == 4:
            return [self.item(depth + 1) for _ in range(value)]
        if major == 5:
            return {self.key(): self.item(depth + 1) for _ in range(value)}
        if major == 7 and info in (20, 21):
            return info == 21
        raise PaymentError("malformed", "CBOR tag, float, null or undefined")

    def text(self, size: int) -> str:
        try:
            return self.take(size).decode()
        except UnicodeDecodeError as error:
            raise PaymentError("malformed", "text that is not UTF-8") from error

    def key(self) -> int:
        major, _, value = self.head()
        if major != 0 or value > MAX_KEY:
            raise PaymentError("malformed", f"a map key that is no integer in 0..{MAX_KEY}")
        return value
