"""The desk where people enrol: mandates for exactly the paper they signed; the backend never learns who they are."""

import asyncio
import datetime
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import typer

from firmware.gallery.consent import ConsentForm, GuardianConsent, Notice, consent_hash, sign_consent
from firmware.payment.errors import PaymentError
from firmware.payment.mandate import verify_guardian_mandate, verify_mandate
from hil.backend import desk
from hil.backend.register import Link, create_app
from hil.backend.shop import START, Shop
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
            headers = {"Content-Type": "application/json"}
            answer = await http.request(request.method, request.url, content=request.content, headers=headers)
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
    monkeypatch.setattr(desk, "_backend", at.backend)
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


@pytest.mark.parametrize("ends", ["Ctrl-C", "time"])
def test_an_order_that_nobody_waits_for_any_more_is_taken_back(
    counter: Desk, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], ends: str
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    wire = Wire()
    counter.link = wire
    if ends == "Ctrl-C":
        monkeypatch.setattr(desk, "_wait", interrupted)
    with pytest.raises(typer.Exit) as left:
        desk.pay("12.50", "EUR", "payer-7", "http://desk", counter.folder / "token", wait_s=0)
    assert left.value.exit_code == 1
    assert capsys.readouterr().out.endswith("cancelled\n")
    assert (len(wire.intents), len(wire.cancellations)) == (1, 1)
