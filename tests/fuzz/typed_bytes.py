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
    b'{"terminal": "till-1", "amount": "12.50", "currency": "EUR", "payer": "payer-7", "assurance": "dynamic",'
    b' "reference": "order-7"}',
    b'{"terminal": "till-1", "payer": "payer-7", "purpose": "payment", "consent_hash": "%s"}' % (b"ab" * 32),
    b'{"terminal": "till-1", "consent_hash": "%s", "verifier": "office", "method": "document"}' % (b"ab" * 32),
    b'{"amount": "0.01", "currency": "EUR"}',
]
PATHS = [
    b"/intents/" + b"00" * 16, b"/intents/" + b"00" * 16 + b"?wait_s=1", b"/intents?reference=order-7", b"/health",
    b"/mandates", b"/metrics", b"/openapi.json", b"/reconciliations/2027-01-15",
]  # fmt: skip


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
    """The register's application, called without a server in between; one payment was made."""

    def __init__(self, shop: Shop, paid: bytes) -> None:
        self._app = create_app(shop.backend, _Link(), TOKEN)
        self._loop = asyncio.new_event_loop()
        order = b"/intents/" + paid.hex().encode()
        calls = (b"/cancel", b"/reverse", b"/refunds")
        self._posts = (b"/intents", b"/mandates", b"/guardian-mandates", *(order + call for call in calls))
        self.actions = [*self._posts, b"/reconciliations/2026-12-31", b"/intents/" + b"00" * 16 + b"/cancel"]
        self._turn = 0

    def post(self, body: bytes) -> str:
        """Each body to each call in turn, every other one under a key of its own."""
        self._turn += 1
        key = b"key-%d" % (self._turn // 2)
        return self._call("POST", self._posts[self._turn % len(self._posts)], body, key)

    def get(self, path: bytes) -> str:
        return self._call("GET", path, b"", b"")

    def act(self, path: bytes) -> str:
        return self._call("POST", path, b"", b"key")

    def key(self, key: bytes) -> str:
        """As the key of a call."""
        return self._call("POST", self._posts[-1], BODIES[-1], key)

    def _call(self, method: str, target: bytes, body: bytes, key: bytes) -> str:
        sent: list[dict[str, Any]] = []
        path, _, query = target.partition(b"?")
        headers = [(b"authorization", b"Bearer " + TOKEN.encode()), (b"content-type", b"application/json")]
        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "scheme": "http",
            "path": path.decode("latin-1"), "raw_path": path, "root_path": "", "query_string": query,
            "headers": [*headers, (b"idempotency-key", key)] if key else headers,
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
