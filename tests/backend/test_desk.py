"""The desk where people enrol: mandates for exactly the paper they signed; the backend never learns who they are."""

import asyncio
import datetime
import hashlib
import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import httpx
import pytest
import typer

from firmware.gallery.consent import ConsentForm, GuardianConsent, Notice, consent_hash, sign_consent
from firmware.payment.errors import PaymentError
from firmware.payment.mandate import verify_guardian_mandate, verify_mandate
from hil.backend import desk
from hil.backend.caller import LostError, answer, calling
from hil.backend.register import Link, create_app
from hil.backend.shop import PAYER, START, Shop
from hil.backend.simulator import new_element
from tests.backend.test_register import Wire

NOTICE = Notice("1", hashlib.sha256(b"notice").digest(), ("en",), 365, datetime.timezone.utc)
GUARDIAN = GuardianConsent(name="Eve", verifier="school-office", method="document", given_at=START)
ADULT = ConsentForm(
    who="Ada", purposes=("door", "payment"), notice_version="1", notice_sha256=NOTICE.sha256.hex(), language="en",
    retention_days=30, date_of_birth=datetime.date(1990, 1, 2), age_source="document", given_at=START,
)  # fmt: skip
CHILD = ConsentForm(
    who="Kim", purposes=("door",), notice_version="1", notice_sha256=NOTICE.sha256.hex(), language="en",
    retention_days=30, date_of_birth=datetime.date(2020, 1, 2), age_source="guardian", given_at=START,
    guardian=GUARDIAN,
)  # fmt: skip
TOLD = ("Content-Type", "Idempotency-Key")


class NoLink:
    """A backend without terminals to reach."""

    connected = False

    def send_intent(self, terminal: str, envelope: bytes) -> None:
        raise AssertionError("nothing is sent when a mandate is issued")

    def send_cancellation(self, terminal: str, envelope: bytes) -> None:
        raise AssertionError("nothing is sent when a mandate is issued")


class Desk:
    """A desk in `folder` beside a shop's backend; `told` is all that went over the wire to it."""

    def __init__(self, folder: Path, shop: Shop) -> None:
        self.folder, self.shop, self.told = folder, shop, b""
        self.link: Link = NoLink()
        self.meets: Callable[[httpx.Request], None] = lambda _: None  # an answer on its way back

    @contextmanager
    def backend(self, _register: str, _token: Path) -> Iterator[httpx.Client]:
        transport = httpx.MockTransport(lambda request: asyncio.run(self.answer(request)))
        with httpx.Client(transport=transport, base_url="http://desk") as http:
            yield http

    async def answer(self, request: httpx.Request) -> httpx.Response:
        """The register's, without a network."""
        self.told += request.read() + str(request.url).encode()
        register = httpx.ASGITransport(create_app(self.shop.backend, self.link, "secret"))
        async with httpx.AsyncClient(transport=register, headers={"Authorization": "Bearer secret"}) as http:
            headers = {name: request.headers[name] for name in TOLD if name in request.headers}
            answer = await http.request(request.method, request.url, content=request.content, headers=headers)
        self.meets(request)
        return httpx.Response(answer.status_code, content=answer.content)

    def sign(self, form: ConsentForm) -> bytes:
        envelope = sign_consent(
            form, terminal="till-1", recorded_by="op", now=START, notice=NOTICE, element=new_element()
        )
        (self.folder / "consent.cose").write_bytes(envelope)
        return envelope

    def ask(self, guardian: bool = False, method: str = "simulated") -> None:
        desk.mandate(
            "payer-7", self.folder / "consent.cose", "http://desk", self.folder / "token", self.folder / "mandate.cose",
            method=method, guardian_out=self.folder / "guardian.cose" if guardian else None,
        )  # fmt: skip


@pytest.fixture
def counter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    shop = Shop(tmp_path)
    at = Desk(tmp_path, shop)
    monkeypatch.setattr(desk, "calling", at.backend)
    monkeypatch.setattr(desk, "PAUSE_S", 0)
    monkeypatch.setattr(desk, "LONG_POLL_S", 0)
    yield at
    shop.close()


def test_a_mandate_is_for_the_exact_paper_and_for_payment_where_that_is_in_it(counter: Desk) -> None:
    envelope = counter.sign(ADULT)
    counter.ask(method="bank_app")
    mandate = verify_mandate(
        (counter.folder / "mandate.cose").read_bytes(), counter.shop.trust, environment="demo", terminal="till-1",
        purpose="payment", consent_hash=consent_hash(envelope), now=START,
    )  # fmt: skip
    assert (mandate.payer, mandate.method) == ("payer-7", "bank_app")


def test_a_childs_guardian_gets_a_mandate_besides(counter: Desk) -> None:
    envelope = counter.sign(CHILD)
    counter.ask(guardian=True)
    digest = consent_hash(envelope)
    payers, guardians = ((counter.folder / name).read_bytes() for name in ("mandate.cose", "guardian.cose"))
    trust = counter.shop.trust
    bound: dict[str, Any] = {"environment": "demo", "terminal": "till-1", "consent_hash": digest, "now": START}
    verify_mandate(payers, trust, purpose="door", **bound)
    verify_guardian_mandate(guardians, trust, verifier="school-office", method="document", **bound)


def test_the_backend_is_told_a_hash_and_never_who_consented(counter: Desk) -> None:
    envelope = counter.sign(CHILD)
    counter.ask(guardian=True)
    assert consent_hash(envelope).hex().encode() in counter.told
    for hidden in (b"Kim", b"Eve", b"2020-01-02", envelope, envelope.hex().encode()):
        assert hidden not in counter.told


def test_where_no_guardian_consented_there_is_no_guardians_mandate(counter: Desk) -> None:
    counter.sign(ADULT)
    with pytest.raises(PaymentError, match="no guardian"):
        counter.ask(guardian=True)
    assert not (counter.folder / "mandate.cose").exists()


@pytest.mark.parametrize("content", [None, b"", b"who = 'Ada'", b"\xd2\x84"])
def test_without_a_signed_paper_there_is_no_mandate(counter: Desk, content: bytes | None) -> None:
    if content is not None:
        (counter.folder / "consent.cose").write_bytes(content)
    with pytest.raises((PaymentError, typer.Exit)):
        counter.ask()
    assert not (counter.folder / "mandate.cose").exists()


class Customer:
    """Loses answers on their way back to `tessera pay`; and a customer, who taps when the second is due."""

    def __init__(self, at: Desk, lost: Callable[[int], Exception | None]) -> None:
        self.at, self.lost, self.calls, self.wire = at, lost, 0, Wire()
        at.link, at.meets = self.wire, self.meet

    def meet(self, request: httpx.Request) -> None:
        self.calls += 1
        if self.calls == 2:
            shop = self.at.shop
            accepted = shop.till.open(self.wire.intents[-1], shop.time)
            assert shop.code(shop.till.authorize(accepted, shop.mandate, shop.time)) == "approved"
        lost = self.lost(self.calls)
        if lost is not None:
            raise lost


def asked_to_pay(at: Desk, wait_s: float = 600) -> int:
    with pytest.raises(typer.Exit) as left:
        desk.pay("12.50", "EUR", PAYER, "http://desk", at.folder / "token", wait_s=wait_s)
    return left.value.exit_code


def hung_up(_: int = 0) -> Exception:
    return httpx.RemoteProtocolError("Server disconnected without sending a response.")


@pytest.mark.parametrize("last", [0, 1, 2, 7])
def test_a_paid_order_is_not_given_up_because_answers_were_lost(counter: Desk, last: int) -> None:
    customer = Customer(counter, lambda call: hung_up() if call <= last else None)
    assert asked_to_pay(counter) == 0
    assert len(counter.shop.backend.payments()) == 1
    assert len(set(customer.wire.intents)) == 1, "one order, however often it was asked for"


@pytest.mark.parametrize("first", [1, 2])
def test_where_nobody_says_what_became_of_an_order_it_is_unknown_and_how_to_ask_is_said(
    counter: Desk, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], first: int
) -> None:
    monkeypatch.setattr(desk, "LAST_S", 0)
    Customer(counter, lambda call: hung_up() if call >= first else None)
    assert asked_to_pay(counter, wait_s=0) == desk.UNKNOWN
    told = capsys.readouterr().out
    assert "do not ask for it again" in told.lower()
    url = shlex.split(told.splitlines()[-1])[-1]
    counter.meets = lambda _: None
    with counter.backend("", Path()) as register:
        found = register.get(url).json()
    assert (found if first > 1 else found[0])["state"] == ("open" if first == 1 else "approved")


def test_an_order_that_was_never_made_is_an_error_at_once(counter: Desk) -> None:
    with pytest.raises(PaymentError, match="503 broker"):
        desk.pay("12.50", "EUR", PAYER, "http://desk", counter.folder / "token")
    counter.meets = Mock(side_effect=httpx.ConnectError("Connection refused"))
    with pytest.raises(PaymentError, match="Connection refused"):
        desk.pay("12.50", "EUR", PAYER, "http://desk", counter.folder / "token")
    counter.meets.assert_called_once()


@pytest.mark.parametrize(
    ("status", "content", "lost"),
    [
        (503, b'{"code": "storage", "detail": "the database is away"}', True),
        (503, b'{"code": "broker", "detail": "nothing was sent"}', False),
        (409, b'{"code": "key_reuse", "detail": "another call"}', False),
        (502, b"<html>not the register's", True),
        (200, b"<html>not the register's", True),
    ],
    ids=["storage", "broker", "key_reuse", "a gateway's", "no register's"],
)
def test_what_may_have_been_done_is_told_from_what_was_refused(status: int, content: bytes, lost: bool) -> None:
    transport = httpx.MockTransport(lambda _: httpx.Response(status, content=content))
    with httpx.Client(transport=transport, base_url="http://desk") as http, pytest.raises(PaymentError) as refused:
        answer(http, "POST", "/intents", dict[str, str])
    assert isinstance(refused.value, LostError) == lost
    assert "html" not in str(refused.value)


@pytest.mark.parametrize("ends", ["Ctrl-C", "time"])
def test_an_order_that_nobody_waits_for_any_more_is_taken_back(
    counter: Desk, capsys: pytest.CaptureFixture[str], ends: str
) -> None:
    def stopped(request: httpx.Request) -> None:
        if ends == "Ctrl-C" and request.method == "GET":
            raise KeyboardInterrupt

    counter.link, counter.meets = wire, _ = Wire(), stopped
    assert asked_to_pay(counter, wait_s=600 if ends == "Ctrl-C" else 0) == 1
    assert capsys.readouterr().out.endswith("cancelled\n")
    assert (len(wire.intents), len(wire.cancellations)) == (1, 1)


@pytest.mark.parametrize(
    "content",
    [
        b"store = 'backend.db'\nsecret = 'x'",
        b"two of such-words",
        b"short",
        b"\xc3\xb6" * 16,
        b"x" * 9_000,
        b"\xff" * 32,
    ],
    ids=["another file", "words", "short", "not ASCII", "large", "not UTF-8"],
)
def test_a_file_that_is_no_token_is_refused_and_nothing_in_it_is_said(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "token"
    file.write_bytes(content)
    with pytest.raises(PaymentError) as refused, calling("http://127.0.0.1:1", file):
        pass
    assert str(refused.value) == f"trust: {file}: no token: one line of 16 to 512 ASCII characters without spaces"


def test_a_mandate_that_cannot_be_written_is_an_error_that_names_the_file(counter: Desk) -> None:
    counter.sign(ADULT)
    with pytest.raises(PaymentError, match=r"absent/m\.cose: No such file"):
        desk.mandate(
            "payer-7", counter.folder / "consent.cose", "http://desk", counter.folder / "token",
            counter.folder / "absent" / "m.cose",
        )  # fmt: skip
