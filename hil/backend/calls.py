"""A register's calls: refused with a code of their own, and each done once, however often it is repeated.

Rules kept here:
- What a key was answered is stored in the transaction that has the call's effect. The same call under the same key
  gets the same answer; another call under it is refused and changes nothing.
"""

import hashlib
from collections.abc import Callable
from typing import Any, Literal, TypeVar

import msgspec

from hil.backend import books
from hil.backend.store import Transaction

A = TypeVar("A")
Refusal = Literal["key_reuse", "not_paid", "given_back", "too_much", "day_closed", "day_open"]


class CallError(Exception):
    """What a register asks for cannot be done: `code` from the closed list, `text` for a person."""

    def __init__(self, code: Refusal, text: str) -> None:
        super().__init__(f"{code}: {text}")
        self.code: Refusal = code
        self.text = text


class Call(msgspec.Struct, frozen=True):
    """A call by the key the register gave it; `request` is SHA-256 of what it asks for."""

    key: str
    request: bytes


def call(key: str, *asked: Any) -> Call:
    """Return the call under `key` for what is `asked`: anything JSON can say."""
    return Call(key, hashlib.sha256(msgspec.json.encode(asked)).digest())


def once(ledger: Transaction, one: Call | None, now: int, work: Callable[[], A], kind: type[A]) -> A:
    """Do `work` where this call was not done before, else return its answer of then; without a key always do it.

    Raises:
        CallError: `key_reuse`.
    """
    if one is None:
        return work()
    said = books.call(ledger, one.key)
    if said is None:
        answer = work()
        books.keep_call(ledger, one.key, one.request, msgspec.json.encode(answer).decode(), now)
        return answer
    if said[0] != one.request:
        raise CallError("key_reuse", f"the key {one.key} was given to another call")
    return msgspec.json.decode(said[1], type=kind)
