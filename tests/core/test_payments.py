"""Cancel, time-outs, restarts and recalls at the counter: one final state at the terminal, and one at the backend."""

import asyncio
import sqlite3
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from firmware.core.inbox import Cancelled
from firmware.core.recalls import Recalls
from firmware.payment import schema
from firmware.payment.clock import MAX_SKEW_S
from firmware.payment.errors import PaymentError
from firmware.payment.intent import MAX_INTENT_TTL_S
from firmware.payment.messages import Allowance, Cancellation
from firmware.payment.money import Amount
from hil.backend.backend import INTENT_TTL_S
from hil.backend.keys import signer
from tests.core.till import PAYER, Till

Play = Callable[[Till], Coroutine[Any, Any, None]]


@pytest.fixture(scope="module")
def till(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Till]:
    till = Till(tmp_path_factory.mktemp("till"))
    yield till
    till.close()


@pytest.fixture
def play(till: Till) -> Callable[[Play], Till]:
    """Play a scene at the till."""
    return lambda scene: played(till, scene)


def played(till: Till, scene: Play) -> Till:
    """Play a scene, in a loop of its own."""

    async def opened() -> None:
        till.open()
        await asyncio.wait_for(scene(till), 30.0)

    asyncio.run(opened())
    return till


def settled(till: Till, intent: bytes) -> tuple[str, str, str]:
    """(kind, outcome, code) of the one envelope that the terminal has for an intent."""
    till.outbox.close()
    file = sqlite3.connect(till.shop.folder / "till-1.db")
    rows = file.execute("SELECT kind, outcome, code FROM outbox WHERE intent = ?", (intent,)).fetchall()
    file.close()
    (row,) = rows
    return tuple(row)


def ended(till: Till, intent: bytes, terminal: tuple[str, str, str], backend: tuple[str, str], paid: int = 0) -> None:
    """Each side has its one final state, which agree, and nothing waits; so it stays at every later time."""
    assert till.deliver() == []
    for later in (0, 10 * INTENT_TTL_S):
        till.now += later
        assert till.state(intent) == backend
    assert [payment.intent for payment in till.shop.backend.payments()].count(intent) == paid
    assert settled(till, intent) == terminal


@pytest.mark.parametrize(
    ("minor", "currency", "shown"),
    [(1250, "EUR", "Pay 12.50 EUR to"), (1250, "JPY", "Pay 1250 JPY to"), (1250, "KWD", "Pay 1.250 KWD to")],
)
def test_a_payment_in_euro_yen_and_dinar(play: Callable[[Play], Till], minor: int, currency: str, shown: str) -> None:
    intents: list[bytes] = []

    async def scene(till: Till) -> None:
        intents.append(await till.paid(minor, currency))

    till = play(scene)
    assert next(event.text for event in till.said if event.stage == "prompt").startswith(shown)
    assert till.outcome == "approved"
    payment = {payment.intent: payment for payment in till.shop.backend.payments()}[intents[0]]
    assert (payment.amount_minor, payment.currency) == (minor, currency)
    ended(till, intents[0], ("authorization", "approved", ""), ("approved", ""), paid=1)


def test_the_customer_cancels(play: Callable[[Play], Till]) -> None:
    intents: list[bytes] = []

    async def scene(till: Till) -> None:
        intents.append(till.ask())
        await till.touch(Cancelled())
        await till.idle()
        till.deliver()

    till = play(scene)
    assert till.outcome == "cancelled"
    ended(till, intents[0], ("decline", "declined", ""), ("declined", "cancelled"))


def test_the_cashier_cancels_before_the_tap(play: Callable[[Play], Till]) -> None:
    intents: list[bytes] = []

    async def scene(till: Till) -> None:
        intents.append(till.ask())
        await asyncio.sleep(0)
        till.cancel(intents[0])
        await till.idle()
        assert till.deliver() == ["cancelled"]

    till = play(scene)
    assert (till.outcome, till.captures) == ("cancelled_by_register", 1)
    ended(till, intents[0], ("decline", "rejected", "cancelled"), ("cancelled", ""))


@pytest.mark.parametrize("frame", [1, 5])
def test_the_cashier_cancels_while_the_customer_is_looked_at(play: Callable[[Play], Till], frame: int) -> None:
    intents: list[bytes] = []

    async def scene(till: Till) -> None:
        frames = 0

        def before_frame() -> None:
            nonlocal frames
            frames += 1
            if frames == frame:
                till.cancel(intents[0])

        till.before_frame = before_frame
        intents.append(till.ask())
        await till.touch()
        await till.idle()
        assert till.deliver() == ["cancelled"]

    till = play(scene)
    assert (till.outcome, till.captures) == ("cancelled_by_register", 1), "and capture has ended"
    ended(till, intents[0], ("decline", "rejected", "cancelled"), ("cancelled", ""))


def test_a_cancellation_that_crosses_a_stored_authorization_changes_nothing_at_the_terminal(
    play: Callable[[Play], Till],
) -> None:
    intents: list[bytes] = []

    async def scene(till: Till) -> None:
        intents.append(till.ask())
        await till.touch()
        await till.stored()
        till.cancel(intents[0])
        assert till.deliver() == ["cancelled"]
        await till.idle()

    till = play(scene)
    assert till.outcome == "cancelled", "the backend's word, not the terminal's own"
    assert "Declined by the backend" in till.said[-1].text
    ended(till, intents[0], ("authorization", "rejected", "cancelled"), ("cancelled", ""))


def test_a_cancellation_that_comes_after_the_approval_finds_it_paid(play: Callable[[Play], Till]) -> None:
    intents: list[bytes] = []

    async def scene(till: Till) -> None:
        intents.append(await till.paid())
        till.cancel(intents[0])

    till = play(scene)
    ended(till, intents[0], ("authorization", "approved", ""), ("approved", ""), paid=1)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({}, ""),
        ({"terminal": "till-2"}, "terminal_mismatch"),
        ({"intent": bytes(16)}, ""),
        ({"intent_hash": bytes(32)}, ""),
    ],
)
def test_a_cancellation_of_another_intent_or_terminal_ends_nothing(
    play: Callable[[Play], Till], changes: dict[str, Any], code: str
) -> None:
    async def scene(till: Till) -> None:
        gone = till.ask()
        await till.touch(Cancelled())
        await till.idle()
        till.deliver()
        intent = till.ask()
        digest = till.shop.store.transact(lambda ledger: ledger.issued(intent)).digest  # type: ignore[union-attr]
        whose: dict[str, Any] = {
            "intent": intent if changes else gone,
            "intent_hash": digest,
            "terminal": "till-1",
        } | changes
        forged = schema.sign(Cancellation(**whose, issued_at=till.now), signer(till.shop.key), till.shop.kid)
        if code:
            with pytest.raises(PaymentError) as error:
                till.payments.on_cancellation(forged)
            assert error.value.code == code
        else:
            till.payments.on_cancellation(forged)
        await till.touch()
        await till.stored()
        assert till.deliver() == ["approved"]
        await till.idle()

    assert play(scene).outcome == "approved"


def test_a_cancellation_that_nobody_signed_who_may_ends_nothing(play: Callable[[Play], Till]) -> None:
    async def scene(till: Till) -> None:
        intent = till.ask()
        digest = till.shop.store.transact(lambda ledger: ledger.issued(intent)).digest  # type: ignore[union-attr]
        message = Cancellation(intent=intent, intent_hash=digest, terminal="till-1", issued_at=till.now)
        own = schema.sign(message, till.element.sign, till.shop.till.kid)
        pretended = schema.sign(message, till.element.sign, till.shop.kid)
        for envelope, code in ((own, "unknown_key"), (pretended, "bad_signature"), (till.told_of, "malformed")):
            with pytest.raises(PaymentError) as error:
                till.payments.on_cancellation(envelope)
            assert error.value.code == code
        await till.touch()
        await till.stored()
        assert till.deliver() == ["approved"]
        await till.idle()

    assert play(scene).outcome == "approved"


def test_an_intent_that_takes_the_place_of_one_taken_back_is_served_at_once(play: Callable[[Play], Till]) -> None:
    intents: list[bytes] = []

    async def scene(till: Till) -> None:
        intents.append(till.ask(1250))
        await till.touch()
        till.cancel(intents[0])
        intents.append(till.ask(990))
        intents.append(till.ask(5))
        while till.stand.scene < 2:
            await asyncio.sleep(0)
        await till.touch()
        while till.outbox.waiting() < 3:
            await asyncio.sleep(0)
        assert sorted(till.deliver()) == ["approved", "cancelled", "declined"]
        await till.idle()

    till = play(scene)
    assert till.state(intents[2]) == ("declined", "busy"), "one waits, not a queue"
    paid = {payment.intent: payment.amount_minor for payment in till.shop.backend.payments()}
    assert [paid.get(intent) for intent in intents] == [None, 990, None]
    assert till.state(intents[1]) == ("approved", "")
    ended(till, intents[0], ("decline", "rejected", "cancelled"), ("cancelled", ""))


def test_an_intent_that_waits_and_is_taken_back_too_is_never_shown(play: Callable[[Play], Till]) -> None:
    intents: list[bytes] = []

    async def scene(till: Till) -> None:
        intents.append(till.ask(1250))
        await till.touch()
        till.cancel(intents[0])
        intents.append(till.ask(990))
        till.cancel(intents[1])
        intents.append(till.ask(500))
        while till.stand.scene < 2:
            await asyncio.sleep(0)
        await till.touch()
        while till.outbox.waiting() < 3:
            await asyncio.sleep(0)
        assert sorted(till.deliver()) == ["approved", "cancelled", "cancelled"]
        await till.idle()

    till = play(scene)
    assert not [event for event in till.said if "9.90" in event.text]
    assert till.state(intents[2]) == ("approved", "")
    ended(till, intents[1], ("decline", "rejected", "cancelled"), ("cancelled", ""))


def test_a_cancellation_that_overtakes_its_intent_ends_it_before_anybody_is_asked(
    play: Callable[[Play], Till],
) -> None:
    intents: list[bytes] = []

    async def scene(till: Till) -> None:
        till.shop.time = till.now
        intent, late = till.shop.backend.issue_intent("till-1", Amount(990, "EUR"), PAYER)
        till.cancel(intent)
        till.payments.on_intent(late)
        assert not till.stand.busy
        assert till.deliver() == ["cancelled"]
        intents.extend([intent, await till.paid()])

    till = play(scene)
    assert not [event for event in till.said if "9.90" in event.text]
    assert till.state(intents[1]) == ("approved", "")
    ended(till, intents[0], ("decline", "rejected", "cancelled"), ("cancelled", ""))


def test_a_recall_is_forgotten_once_its_intent_has_ended() -> None:
    recalls, now = Recalls(), 1_800_000_000
    for number in range(3):
        recalls.keep(Cancellation(intent=bytes([number]) * 16, intent_hash=bytes(32), terminal="t", issued_at=now), now)
    assert len(recalls) == 3
    later = now + MAX_INTENT_TTL_S + MAX_SKEW_S
    recalls.keep(Cancellation(intent=bytes(16), intent_hash=bytes(32), terminal="t", issued_at=later), later)
    assert len(recalls) == 1


def test_two_intents_at_once_the_second_is_busy(play: Callable[[Play], Till]) -> None:
    intents: list[bytes] = []

    async def scene(till: Till) -> None:
        intents.extend([till.ask(), till.ask()])
        await till.touch()
        while till.outbox.waiting() < 2:
            await asyncio.sleep(0)
        assert till.deliver() == ["declined", "approved"]
        await till.idle()

    till = play(scene)
    assert till.state(intents[0]) == ("approved", "")
    ended(till, intents[1], ("decline", "declined", ""), ("declined", "busy"))


def test_a_double_tap_pays_once(play: Callable[[Play], Till]) -> None:
    intents: list[bytes] = []

    async def scene(till: Till) -> None:
        intents.append(till.ask())
        await till.touch()
        await till.touch()
        await till.stored()
        till.deliver()
        await till.idle()

    till = play(scene)
    assert till.captures == 1
    ended(till, intents[0], ("authorization", "approved", ""), ("approved", ""), paid=1)


def test_an_intent_delivered_twice_is_served_once(play: Callable[[Play], Till]) -> None:
    intents: list[bytes] = []

    async def scene(till: Till) -> None:
        intents.append(till.ask())
        till.payments.on_intent(till.told_of)
        await till.touch()
        await till.stored()
        till.payments.on_intent(till.told_of)
        assert till.deliver() == ["approved"]
        await till.idle()
        till.payments.on_intent(till.told_of)
        assert not till.stand.busy

    ended(play(scene), intents[0], ("authorization", "approved", ""), ("approved", ""), paid=1)


def test_nobody_taps(play: Callable[[Play], Till]) -> None:
    intents: list[bytes] = []

    async def scene(till: Till) -> None:
        till.short(tap_s=0.001)
        intents.append(till.ask())
        await till.idle()
        till.deliver()

    till = play(scene)
    assert till.outcome == "no_tap"
    ended(till, intents[0], ("decline", "declined", ""), ("declined", "no_tap"))


def test_no_receipt_in_time_is_unknown_and_still_delivered(play: Callable[[Play], Till]) -> None:
    intents: list[bytes] = []

    async def scene(till: Till) -> None:
        till.short(receipt_s=0.001)
        intents.append(till.ask())
        await till.touch()
        await till.idle()
        assert till.outcome == "no_receipt"
        assert "do not retry" in till.said[-1].text.lower()
        assert till.deliver() == ["approved"]

    ended(play(scene), intents[0], ("authorization", "approved", ""), ("approved", ""), paid=1)


def test_a_receipt_that_comes_again_is_kept_for_nobody(play: Callable[[Play], Till]) -> None:
    """Attack: one receipt of before, repeated without end, and the memory of a terminal at rest is full."""

    async def scene(till: Till) -> None:
        till.ask()
        await till.touch()
        await till.stored()
        receipt = till.shop.backend.handle("till-1", till.outbox.head().envelope)
        till.payments.on_receipt(receipt)
        await till.idle()
        till.stand.inbox.clear()
        till.payments.on_receipt(receipt)
        assert await till.stand.inbox.take(0) is None
        await till.paid()
        assert till.outcome == "approved"

    play(scene)


def test_what_is_delivered_after_its_time_is_expired_for_good(play: Callable[[Play], Till]) -> None:
    intents: list[bytes] = []

    async def scene(till: Till) -> None:
        till.short(receipt_s=0.001)
        intents.append(till.ask())
        await till.touch()
        await till.idle()
        till.now += INTENT_TTL_S
        assert till.state(intents[0]) == ("expired", "")
        assert till.deliver() == ["expired"]

    ended(play(scene), intents[0], ("authorization", "rejected", "expired"), ("expired", ""))


def test_a_decline_after_its_time_is_taken_and_the_intent_stays_expired(play: Callable[[Play], Till]) -> None:
    intents: list[bytes] = []

    async def scene(till: Till) -> None:
        intents.append(till.ask())
        await till.touch(Cancelled())
        await till.idle()
        till.now += INTENT_TTL_S
        assert till.deliver() == ["declined"]

    ended(play(scene), intents[0], ("decline", "declined", ""), ("expired", ""))


def test_the_backend_says_no(play: Callable[[Play], Till]) -> None:
    intents: list[bytes] = []

    async def scene(till: Till) -> None:
        till.finding = till.finding.__class__("", till.finding.gates[:1])
        intents.append(till.ask())
        await till.touch()
        await till.stored()
        assert till.deliver() == ["evidence"]
        await till.idle()

    till = play(scene)
    assert "Declined by the backend" in till.said[-1].text
    ended(till, intents[0], ("authorization", "rejected", "evidence"), ("rejected", "evidence"))


@pytest.mark.parametrize("phase", ["tap", "look"])
def test_a_restart_in_the_middle_is_interrupted(play: Callable[[Play], Till], phase: str) -> None:
    intents: list[bytes] = []

    async def scene(till: Till) -> None:
        intents.append(till.ask())
        await asyncio.sleep(0)
        if phase == "look":
            till.finding = till.finding.__class__("no_face")
            await till.touch()
            for _ in range(20):
                await asyncio.sleep(0)
        till.die()
        assert till.deliver() == ["declined"]

    ended(play(scene), intents[0], ("decline", "declined", ""), ("declined", "interrupted"))


def test_a_restart_after_the_authorization_delivers_it(play: Callable[[Play], Till]) -> None:
    intents: list[bytes] = []

    async def scene(till: Till) -> None:
        intents.append(till.ask())
        await till.touch()
        await till.stored()
        till.die()
        assert till.deliver() == ["approved"]

    ended(play(scene), intents[0], ("authorization", "approved", ""), ("approved", ""), paid=1)


def test_a_restart_between_cancellation_and_decline_ends_cancelled(play: Callable[[Play], Till]) -> None:
    intents: list[bytes] = []

    async def scene(till: Till) -> None:
        intents.append(till.ask())
        await asyncio.sleep(0)
        till.cancel(intents[0])
        till.die()
        assert till.deliver() == ["cancelled"]

    ended(play(scene), intents[0], ("decline", "rejected", "cancelled"), ("cancelled", ""))


def test_an_intent_that_comes_while_there_is_no_time_is_declined_and_nobody_is_looked_at(
    play: Callable[[Play], Till],
) -> None:
    intents: list[bytes] = []

    async def scene(till: Till) -> None:
        till.time_known = False
        intents.append(till.ask())
        await till.idle()
        assert till.deliver() == ["declined"]

    till = play(scene)
    assert (till.outcome, till.captures) == ("clock", 0)
    ended(till, intents[0], ("decline", "declined", ""), ("declined", "clock"))


def test_an_old_intent_replayed_while_there_is_no_time_is_not_even_opened(play: Callable[[Play], Till]) -> None:
    async def scene(till: Till) -> None:
        envelope = till.shop.backend.issue_intent("till-1", Amount(1250, "EUR"), PAYER)[1]
        till.now += 2 * INTENT_TTL_S
        await till.paid()
        till.time_known = False
        with pytest.raises(PaymentError, match="expired"):
            till.payments.on_intent(envelope)
        assert till.outbox.waiting() == 0

    play(scene)


def test_a_stolen_keys_intent_of_another_century_moves_no_floor(play: Callable[[Play], Till]) -> None:
    """Else it would end every key set to come, and nothing but a new state folder would mend the terminal."""

    async def scene(till: Till) -> None:
        await till.paid()
        floor, till.time_known, today = till.outbox.time_floor, False, till.shop.time
        till.shop.time = 4_000_000_000
        envelope = till.shop.backend.issue_intent("till-1", Amount(1250, "EUR"), PAYER)[1]
        till.shop.time = today
        till.payments.on_intent(envelope)
        await till.idle()
        assert till.outcome == "clock"
        assert till.outbox.time_floor == floor
        till.deliver()

    play(scene)


def test_time_that_is_lost_during_the_look_signs_nothing(play: Callable[[Play], Till]) -> None:
    intents: list[bytes] = []

    async def scene(till: Till) -> None:
        def before_frame() -> None:
            till.time_known = False

        till.before_frame = before_frame
        intents.append(till.ask())
        await till.touch()
        await till.idle()
        assert till.deliver() == ["declined"]

    till = play(scene)
    assert till.outcome == "clock"
    ended(till, intents[0], ("decline", "declined", ""), ("declined", "clock"))


# -- without a connection ----------------------------------------------------------------------------------------------

ALLOWANCE = Allowance(
    id=bytes(16), currency="EUR", exponent=2, payment_minor=2500, payer_minor=4000, terminal_minor=6000, hold_s=86_400,
    expires_at=0,
)  # fmt: skip


async def cut_off(till: Till, minor: int, given: bool = True) -> bytes:
    """A payment in which the link goes down while the customer is looked at."""
    if given:
        till.give(msgspec.structs.replace(ALLOWANCE, id=till.element.random(16), expires_at=till.now + 3600))

    def before_frame() -> None:
        till.link.connected = False

    till.before_frame = before_frame
    intent = till.ask(minor)
    await till.touch()
    await till.idle()
    return intent


def test_a_payment_offline_is_told_as_taken_and_confirmed_later(play: Callable[[Play], Till]) -> None:
    intents: list[bytes] = []

    async def scene(till: Till) -> None:
        intents.append(await cut_off(till, 2500))
        assert till.outcome == "taken_offline"
        assert "pproved" not in " ".join(event.text for event in till.said)
        till.now += 80_000
        assert till.state(intents[0]) == ("open", ""), "nobody is told that it has expired"
        till.die()
        assert till.deliver() == ["approved"]

    ended(play(scene), intents[0], ("authorization", "approved", ""), ("approved", ""), paid=1)


def test_a_payment_offline_that_is_not_delivered_in_its_time_is_expired(play: Callable[[Play], Till]) -> None:
    intents: list[bytes] = []

    async def scene(till: Till) -> None:
        intents.append(await cut_off(till, 2500))
        till.now += ALLOWANCE.hold_s + INTENT_TTL_S
        assert till.state(intents[0]) == ("expired", "")
        assert till.deliver() == ["expired"]

    ended(play(scene), intents[0], ("authorization", "rejected", "expired"), ("expired", ""))


@pytest.mark.parametrize(("minor", "given"), [(2501, True), (1250, False)])
def test_what_no_allowance_covers_is_refused_offline(play: Callable[[Play], Till], minor: int, given: bool) -> None:
    intents: list[bytes] = []

    async def scene(till: Till) -> None:
        intents.append(await cut_off(till, minor, given))
        assert till.outcome == "offline"
        assert till.deliver() == ["declined"]

    till = play(scene)
    ended(till, intents[0], ("decline", "declined", ""), ("declined", "offline"))


def test_nothing_is_signed_offline_without_time(play: Callable[[Play], Till]) -> None:
    intents: list[bytes] = []

    async def scene(till: Till) -> None:
        def before_frame() -> None:
            till.link.connected = till.time_known = False

        till.give(msgspec.structs.replace(ALLOWANCE, id=till.element.random(16), expires_at=till.now + 3600))
        till.before_frame = before_frame
        intents.append(till.ask(1250))
        await till.touch()
        await till.idle()
        assert till.outcome == "clock"
        assert till.deliver() == ["declined"]

    ended(play(scene), intents[0], ("decline", "declined", ""), ("declined", "clock"))


def test_a_restored_outbox_refuses_offline_and_goes_on_with_a_connection(tmp_path: Path) -> None:
    async def scene(till: Till) -> None:
        till.hardware.stands += 1  # another copy of this outbox has counted since
        till.start()
        await cut_off(till, 1250)
        assert till.outcome == "offline"
        till.link.connected, till.before_frame = True, lambda: None
        till.deliver()
        await till.paid()
        assert till.outcome == "approved"

    till = Till(tmp_path)  # of its own: the mark stays
    try:
        played(till, scene)
    finally:
        till.close()
