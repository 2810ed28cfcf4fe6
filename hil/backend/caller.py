"""How the commands call the register: with its token, and an answer or a refusal in the register's own words."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import httpx
import msgspec

from firmware.payment.errors import PaymentError
from hil.backend.disk import read_token

TIMEOUT_S = 10.0

A = TypeVar("A")


class LostError(PaymentError):
    """What was asked may have been done: the answer was lost, or nobody could say. Its code is `trust`."""

    def __init__(self, text: str) -> None:
        super().__init__("trust", text)


class _Refused(msgspec.Struct):
    """As the register words a refusal."""

    code: str
    detail: str


@contextmanager
def calling(register: str, token: Path) -> Iterator[httpx.Client]:
    """A client of the register. Raises PaymentError `trust`: there is no token, or no such address."""
    headers = {"Authorization": f"Bearer {read_token(token)}"}
    try:
        client = httpx.Client(base_url=register, headers=headers, timeout=TIMEOUT_S)
    except httpx.InvalidURL as error:
        raise PaymentError("trust", f"{register}: not a register's address: {error}") from error
    with client:
        yield client


def answer(http: httpx.Client, method: str, path: str, kind: type[A], **sent: Any) -> A:
    """Call, and return what is answered.

    Raises:
        LostError: it may have been done all the same.
        PaymentError: `trust`, it was not: the register refused, or nobody is there.
    """
    try:
        came = http.request(method, path, **sent)
    except (httpx.ConnectError, httpx.ConnectTimeout, httpx.UnsupportedProtocol) as error:
        raise PaymentError("trust", f"{http.base_url}: the backend does not answer: {error}") from error
    except httpx.RequestError as error:
        raise LostError(f"{http.base_url}: the backend does not answer: {error or type(error).__name__}") from error
    if came.is_error:
        raise _refusal(came)
    try:
        return msgspec.json.decode(came.content, type=kind)
    except msgspec.DecodeError as error:
        raise LostError(f"{http.base_url}: not a register's answer: {error}") from error


def _refusal(came: httpx.Response) -> PaymentError:
    """What the register says, by its own code; nothing of an answer that is somebody else's."""
    try:
        said = msgspec.json.decode(came.content, type=_Refused)
    except msgspec.DecodeError:
        said = _Refused("", came.reason_phrase)
    text = f"the backend refused: {came.status_code} {said.code} {said.detail}"
    # without a broker it does nothing; any other fault of its own may have come afterwards
    return LostError(text) if came.is_server_error and said.code != "broker" else PaymentError("trust", text)
