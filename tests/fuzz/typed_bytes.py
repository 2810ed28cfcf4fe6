"""What reads what people type in, and the register's calls over HTTP."""

import asyncio
import random
from typing import Any

import msgspec

from firmware.gallery.consent import ConsentError, parse_form
from firmware.payment.money import parse_amount
from hil.backend.register import create_app
from hil.backend.shop import Shop
from tests.fuzz.payment_bytes import code_of

TOKEN = "a-register-token-of-the-fuzzer"
FORM = b"""who = "Kim"
purposes = ["payment", "door"]
notice_version = "1"
notice_sha256 = "%s"
language = "de"
retention_days = 365
date_of_birth = 1990-02-28
age_source = "document"
given_at = 2027-01-15T09:00:00+01:00
[guardian]
name = "Lee"
verifier = "school-office"
method = "document"
given_at = 1800000000
""" % (b"ab" * 32)


def read_form(data: bytes) -> str:
    try:
        parse_form(data)
    except ConsentError as error:
        return error.code
    return "read"


def read_amount(data: bytes) -> str:
    text = data.decode("latin-1")
    return code_of(lambda: [parse_amount(text, currency) for currency in ("EUR", "JPY", "KWD", text)])


BODIES = [
    b'{"terminal": "till-1", "amount": "12.50", "currency": "EUR", "payer": "payer-7", "assurance": "dynamic"}',
    b'{"terminal": "till-1", "payer": "payer-7", "purpose": "payment", "consent_hash": "%s"}' % (b"ab" * 32),
    b'{"terminal": "till-1", "consent_hash": "%s", "verifier": "office", "method": "document"}' % (b"ab" * 32),
]

PATHS = [b"/intents/" + b"00" * 16, b"/health", b"/mandates", b"/metrics"]


def bend_json(data: bytes, source: random.Random) -> bytes:
    """A JSON object with an odd value in one field, or a field more."""
    item = msgspec.json.decode(data)
    odd: tuple[object, ...] = (
        None,
        1.5,
        -1,
        2**70,
        "",
        "0",
        "-1.00",
        "12.5",
        "1e3",
        "12.50\n",
        "x" * 65,
        "\u0000",
        [],
        {},
        True,
        "XXX",
    )
    item[source.choice([*item, "extra"])] = source.choice(odd)
    return msgspec.json.encode(item)


class _Link:
    connected = True

    def send_intent(self, terminal: str, envelope: bytes) -> None:
        """Go nowhere."""

    def send_cancellation(self, terminal: str, envelope: bytes) -> None:
        """Go nowhere."""


class Api:
    """The register's application, called without a server in between."""

    def __init__(self, shop: Shop) -> None:
        self._app = create_app(shop.backend, _Link(), TOKEN)
        self._loop = asyncio.new_event_loop()
        self._turn = 0

    def post(self, body: bytes) -> str:
        self._turn += 1
        return self._call("POST", (b"/intents", b"/mandates", b"/guardian-mandates")[self._turn % 3], body)

    def get(self, path: bytes) -> str:
        return self._call("GET", path, b"")

    def _call(self, method: str, path: bytes, body: bytes) -> str:
        sent: list[dict[str, Any]] = []
        headers = [(b"authorization", b"Bearer " + TOKEN.encode()), (b"content-type", b"application/json")]
        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "scheme": "http",
            "path": path.decode("latin-1"), "raw_path": path, "root_path": "", "query_string": b"", "headers": headers,
            "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 80),
        }  # fmt: skip

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        self._loop.run_until_complete(self._app(scope, receive, send))  # type: ignore[arg-type]
        status = int(sent[0]["status"])
        assert status < 500, status
        return str(status)
