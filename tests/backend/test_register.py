"""The register's HTTP: calls done once, orders watched to their end, and refusals that say why and nothing else."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from firmware.payment import schema
from firmware.payment.messages import Cancellation, Intent
from hil.backend import database, watch
from hil.backend.doors import MOST_BODY_BYTES
from hil.backend.reconcile import DAY_S, read
from hil.backend.register import create_app
from hil.backend.shop import PAYER, Shop
from tests.backend.books import day_of, paid

TOKEN = "a-register-token-of-the-test"
ORDER = {"terminal": "till-1", "amount": "12.50", "currency": "EUR", "payer": PAYER}
Talk = Callable[[httpx.AsyncClient], Awaitable[Any]]


class Wire:
    """The way to the terminals: what was sent."""

    def __init__(self) -> None:
        self.connected = True
        self.intents: list[bytes] = []
        self.cancellations: list[bytes] = []

    def send_intent(self, terminal: str, envelope: bytes) -> None:
        assert terminal == "till-1"
        self.intents.append(envelope)

    def send_cancellation(self, terminal: str, envelope: bytes) -> None:
        assert terminal == "till-1"
        self.cancellations.append(envelope)


class Register:
    """A cash register that calls the backend of a shop, without a network."""

    def __init__(self, shop: Shop) -> None:
        self.shop, self.wire = shop, Wire()
        self.app = create_app(shop.backend, self.wire, TOKEN)
        self.name = secrets.token_hex(4)  # of its keys and references: another test's are not its own

    def talk(self, talk: Talk, token: str = TOKEN) -> Any:
        """Hold a conversation."""

        async def held() -> Any:
            headers = {"Authorization": f"Bearer {token}"}
            transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://till", headers=headers) as http:
                return await talk(http)

        return asyncio.run(held())

    def call(self, method: str, path: str, *, token: str = TOKEN, **more: Any) -> httpx.Response:
        """Call once."""
        answer: httpx.Response = self.talk(lambda http: http.request(method, path, **more), token)
        return answer

    def ask(self, key: str = "", **changes: str) -> httpx.Response:
        """Ask for a payment of 12.50 EUR."""
        return self.call("POST", "/intents", json=ORDER | changes, headers=self._under(key))

    def refund(self, intent: bytes, amount: str, key: str = "refund-1") -> httpx.Response:
        """Give a part back."""
        body = {"amount": amount, "currency": "EUR"}
        return self.call("POST", f"/intents/{intent.hex()}/refunds", json=body, headers=self._under(key))

    def _under(self, key: str) -> dict[str, str]:
        return {"Idempotency-Key": f"{self.name}-{key}"} if key else {}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    shop = Shop(tmp_path_factory.mktemp("shop"))
    yield shop
    shop.close()


@pytest.fixture
def register(shop: Shop) -> Register:
    shop.time += DAY_S
    return Register(shop)


def test_the_same_order_under_the_same_key_is_one_order_sent_again(register: Register) -> None:
    first, again = register.ask("sale-1"), register.ask("sale-1")
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json() == again.json()
    assert register.wire.intents == [register.wire.intents[0]] * 2, "the first may have died before it was sent"


def test_an_order_that_is_over_is_not_sent_again(register: Register) -> None:
    intent = register.ask("sale-1").json()["intent"]
    register.call("POST", f"/intents/{intent}/cancel")
    assert register.ask("sale-1").json()["intent"] == intent
    assert len(register.wire.intents) == 1


@pytest.mark.parametrize("change", [{"amount": "12.51"}, {"payer": "payer-8"}, {"reference": "receipt-2"}])
def test_another_order_under_a_used_key_is_refused(register: Register, change: dict[str, str]) -> None:
    register.ask("sale-1")
    answer = register.ask("sale-1", **change)
    assert (answer.status_code, answer.json()["code"]) == (409, "key_reuse")
    assert len(register.wire.intents) == 1


def test_orders_without_a_key_are_orders_of_their_own(register: Register) -> None:
    assert register.ask().json() != register.ask().json()


def test_without_a_broker_nothing_is_asked_and_the_key_stays_free(register: Register) -> None:
    register.wire.connected = False
    answer = register.ask("sale-1")
    assert (answer.status_code, answer.json()["code"]) == (503, "broker")
    register.wire.connected = True
    assert register.ask("sale-1").status_code == 201


def test_a_register_finds_its_orders_by_its_own_reference(register: Register) -> None:
    intents = {register.ask(reference=f"{register.name}-7").json()["intent"] for _ in range(2)}
    register.ask(reference=f"{register.name}-8")
    found = register.call("GET", f"/intents?reference={register.name}-7").json()
    assert {view["intent"] for view in found} == intents
    assert {(view["state"], view["amount_minor"], view["reference"]) for view in found} == {
        ("open", 1250, f"{register.name}-7")
    }
    assert register.call("GET", f"/intents?reference={register.name}-9").json() == []


def test_an_intent_nobody_asked_for_is_unknown(register: Register) -> None:
    assert register.call("GET", f"/intents/{bytes(16).hex()}").json()["state"] == "unknown"


def test_an_order_taken_back_is_told_to_its_terminal(register: Register) -> None:
    intent = register.ask().json()["intent"]
    assert register.call("POST", f"/intents/{intent}/cancel").json()["state"] == "cancelled"
    (envelope,) = register.wire.cancellations
    assert schema.verify(envelope, Cancellation, register.shop.trust.resolve)[1].intent.hex() == intent


def test_whoever_watches_is_told_when_it_is_over(register: Register, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "LOOK_S", 0)
    shop, intent = register.shop, register.ask().json()["intent"]
    accepted = shop.till.open(register.wire.intents[0], shop.time)

    async def talk(http: httpx.AsyncClient) -> Any:
        watching = asyncio.create_task(http.get(f"/intents/{intent}?wait_s=60"))
        seen = await http.get(f"/intents/{intent}")
        assert seen.json()["state"] == "open"
        shop.answer(shop.till.authorize(accepted, shop.mandate, shop.time))
        return (await watching).json()

    assert register.talk(talk)["state"] == "approved"


def test_one_watcher_too_many_is_answered_at_once(register: Register, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "MOST_WATCHERS", 0)
    intent = register.ask().json()["intent"]
    assert register.call("GET", f"/intents/{intent}?wait_s=60").json()["state"] == "open"


@pytest.mark.parametrize("wait", ["-1", "61", "1e9", "x"])
def test_nobody_watches_longer_than_is_held(register: Register, wait: str) -> None:
    assert register.call("GET", f"/intents/{bytes(16).hex()}?wait_s={wait}").status_code == 422


def test_a_refund_is_done_once_however_often_it_is_called_for(register: Register) -> None:
    intent = paid(register.shop)
    first, again = register.refund(intent, "2.50"), register.refund(intent, "2.50")
    assert (first.status_code, first.json()) == (201, again.json())
    assert first.json()["left_minor"] == 1000
    view = register.call("GET", f"/intents/{intent.hex()}").json()
    assert (view["state"], view["given_back_minor"]) == ("approved", 250)


def test_a_refund_without_a_key_is_refused(register: Register) -> None:
    intent = paid(register.shop)
    answer = register.call("POST", f"/intents/{intent.hex()}/refunds", json={"amount": "2.50", "currency": "EUR"})
    assert answer.status_code == 422
    assert register.shop.backend.state(intent).given_back_minor == 0


def test_too_large_a_refund_is_refused_with_its_reason(register: Register) -> None:
    answer = register.refund(paid(register.shop), "12.51")
    assert (answer.status_code, answer.json()["code"]) == (409, "too_much")


def test_a_payment_is_reversed_and_says_so_again(register: Register) -> None:
    intent = paid(register.shop)
    for _ in range(2):
        view = register.call("POST", f"/intents/{intent.hex()}/reverse").json()
        assert (view["state"], view["reversed"], view["given_back_minor"]) == ("approved", True, 1250)


def test_a_day_is_closed_and_its_file_fetched(register: Register) -> None:
    shop = register.shop
    intent, day = paid(shop), day_of(shop)
    assert register.call("POST", f"/reconciliations/{day}").json()["code"] == "day_open"
    assert register.call("GET", f"/reconciliations/{day}").status_code == 404
    shop.time += DAY_S
    closed = register.call("POST", f"/reconciliations/{day}").json()
    file = register.call("GET", f"/reconciliations/{day}")
    assert file.headers["content-type"] == "text/csv; charset=us-ascii"
    lines = read(file.content, bytes.fromhex(closed["envelope"]), shop.trust.resolve)
    (line,) = [line for line in lines if line["intent"] == intent.hex()]
    assert (line["kind"], line["amount_minor"], line["merchant"]) == ("payment", "1250", "CORNER-SHOP")


@pytest.mark.parametrize("token", ["", "another", TOKEN[:-1], f"{TOKEN}x"])
@pytest.mark.parametrize("path", ["/intents?reference=x", "/openapi.json", "/metrics", "/health"])
def test_without_the_token_nothing_is_told(register: Register, path: str, token: str) -> None:
    answer = register.call("GET", path, token=token)
    assert (answer.status_code, answer.json()["code"]) == (401, "token")


def test_a_body_too_large_is_cut_off(register: Register) -> None:
    answer = register.call("POST", "/intents", content=b" " * (MOST_BODY_BYTES + 1))
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")


@pytest.mark.parametrize("path", ["/reconciliations/9999-12-31", "/reconciliations/0001-01-01"])
def test_days_at_the_ends_of_the_calendar_are_refused_as_others(register: Register, path: str) -> None:
    assert register.call("POST", path).status_code == 409
    assert register.call("GET", path).status_code == 404


def test_currencies_without_and_with_three_decimals_are_asked_for_in_minor_units(register: Register) -> None:
    for amount, currency, minor in (("1250", "JPY", 1250), ("1.250", "KWD", 1250)):
        register.ask(amount=amount, currency=currency)
        intent = schema.verify(register.wire.intents[-1], Intent, register.shop.trust.resolve)[1]
        assert (intent.amount_minor, intent.currency) == (minor, currency)
    assert register.ask(amount="12.50", currency="JPY").status_code == 400


def test_what_the_database_says_is_for_the_log_and_not_for_registers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(database, "ATTEMPTS", 1)
    shop = Shop(tmp_path)
    shop.store.transact(lambda ledger: ledger.connection.execute(text("ALTER TABLE intents RENAME TO gone")))
    answer = Register(shop).ask()
    shop.close()
    assert answer.status_code == 503
    assert answer.json() == {"code": "storage", "detail": "the database is away; ask again"}
    assert "no such table: intents" in caplog.text
    assert PAYER not in caplog.text
