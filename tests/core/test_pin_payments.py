"""Whole payments that ask for a PIN: real terminal, outbox and backend; what looks is a script."""

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest

from firmware.core.inbox import Tapped, Typed
from firmware.core.pins import TRIES, Pins, Verifier
from firmware.liveness.evidence import Cue, Gate
from firmware.liveness.policy import load_policy
from firmware.liveness.verdict import DYNAMIC
from firmware.payment import cose, schema
from firmware.payment.messages import Assurance, Authorization
from firmware.payment.money import Amount
from tests.core.till import ALIVE, PAYER, Till

RIGHT, WRONG = "907133846512", "480021377650"
POLICY = load_policy("demo")[0]
MOVED = replace(
    ALIVE,
    gates=(*ALIVE.gates, Gate(DYNAMIC, 1.0, "", passed=True, reason="")),
    cues=tuple(Cue(name, 1.0, 1.0) for name in POLICY.cues),
    llr=float(len(POLICY.cues)),
    dynamic=True,
)


class PinTill(Till):
    """A till whose customer types `answers`, one each time a PIN is asked for; None: the cashier takes it back."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.basis = SimpleNamespace(policy=POLICY)
        (self.person,) = (one.person for one in self.gallery.people())
        self.answers: list[str | None] = []
        self.sent: list[bytes] = []
        self.intent = b""

    def set_to(self, digits: str) -> None:
        pins = Pins(self.parts)
        mandate = self.mandate(self.enrolled(self.person).consent, purpose="pin")
        pins.put(pins.papers(self.person, mandate), Verifier.of(digits, 1024), "op")

    def pay(self, *answers: str | None, assurance: Assurance = "dynamic_pin") -> tuple[str, str]:
        """A whole payment; how it stands at the backend."""

        async def scene() -> None:
            self.open()
            self.finding, self.answers = MOVED, list(answers)
            self.stand.subscribers.tell = self._hear
            self.shop.time = self.now
            self.intent, envelope = self.shop.backend.issue_intent("till-1", Amount(1250, "EUR"), PAYER, assurance)
            self.sent.append(envelope)
            self.payments.on_intent(envelope)
            while self.stand.busy and not self.stand.shown:
                await asyncio.sleep(0)
            self.stand.touched(self.stand.scene, Tapped())
            while self.stand.busy and self.outbox.head() is None:
                await asyncio.sleep(0)
            if (head := self.outbox.head()) is not None:
                self.sent.append(head.envelope)
            self.deliver()
            await self.idle()
            self.deliver()

        asyncio.run(scene())
        return self.state(self.intent)

    def _hear(self, event: object) -> None:
        self.said.append(event)  # type: ignore[arg-type]
        if self.stand.typing and self.answers:
            answer = self.answers.pop(0)
            if answer is None:
                self.cancel(self.intent)
            else:
                assert self.stand.touched(self.stand.scene, Typed(answer))

    @property
    def authorization(self) -> Authorization:
        """The last envelope that was sent, an authorization."""
        return schema.decode(cose.peek(self.sent[-1]), Authorization)


@pytest.fixture(scope="module")
def till(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PinTill]:
    with closing(PinTill(tmp_path_factory.mktemp("till"))) as till:
        yield till


def test_face_and_pin_are_approved_and_the_authorization_says_both(till: PinTill) -> None:
    till.set_to(RIGHT)
    assert till.pay(WRONG, RIGHT) == ("approved", "")
    evidence = till.authorization.evidence
    assert evidence.assurance == "dynamic_pin"
    assert {"dynamic", "pin"} <= set(evidence.gates)


def test_payment_that_asks_for_no_pin_asks_for_none_and_claims_none(till: PinTill) -> None:
    till.set_to(RIGHT)
    assert till.pay(assurance="dynamic") == ("approved", "")
    assert till.authorization.evidence.assurance == "dynamic"
    assert "pin" not in till.authorization.evidence.gates


def test_policy_that_wants_a_pin_asks_whatever_the_register_asked_for(till: PinTill) -> None:
    till.set_to(RIGHT)
    till.basis.policy = msgspec.structs.replace(POLICY, pin=True)
    stands = till.pay(RIGHT, assurance="geometry")
    till.basis.policy = POLICY
    assert stands == ("approved", "")
    assert till.authorization.evidence.assurance == "dynamic_pin"


def test_who_has_set_none_is_declined_without_a_look(tmp_path: Path) -> None:
    with closing(PinTill(tmp_path)) as till:
        assert till.pay(RIGHT) == ("declined", "pin_missing")
        assert till.captures == 0
        assert till.answers == [RIGHT]


def test_the_fifth_wrong_one_is_declined_and_the_next_payment_without_a_look(till: PinTill) -> None:
    till.set_to(RIGHT)
    assert till.pay(*[WRONG] * TRIES, RIGHT) == ("declined", "pin_locked")
    assert till.captures == 1
    assert till.pay(RIGHT) == ("declined", "pin_locked")
    assert till.captures == 0
    assert till.pay(assurance="dynamic")[0] == "approved", "a face is enough where no PIN is asked for"


def test_cashier_takes_it_back_while_a_pin_is_typed(till: PinTill) -> None:
    till.set_to(RIGHT)
    assert till.pay(WRONG, None) == ("cancelled", "")
    assert till.outcome == "cancelled_by_register"
    assert till.intent not in [payment.intent for payment in till.shop.backend.payments()]


def test_nothing_that_leaves_or_stays_holds_what_was_typed(till: PinTill, caplog: pytest.LogCaptureFixture) -> None:
    """Neither envelope, event, log line, audit record nor file: as digits, and as the numbers they are."""
    caplog.set_level("DEBUG")
    till.set_to(RIGHT)
    till.pay(WRONG, RIGHT)
    till.pay(*[WRONG] * TRIES)
    files = b"".join(path.read_bytes() for path in till.folder.rglob("*") if path.is_file())
    told = [f"{till.said}{caplog.text}{till.log()}".encode(), *till.sent, files]
    for digits in (RIGHT, WRONG):
        number = int(digits)
        forms = [
            digits.encode(), digits.encode("utf-16-le"), digits.encode().hex().encode(),
            number.to_bytes(8, "big"), number.to_bytes(8, "little"), bytes(map(int, digits)),
        ]  # fmt: skip
        assert not [form for form in forms for one in told if form in one]


def test_audit_record_beside_the_authorization_names_the_gate_and_no_digits(till: PinTill) -> None:
    till.set_to(RIGHT)
    till.pay(RIGHT)
    till.outbox.close()
    with sqlite3.connect(till.shop.folder / "till-1.db") as file:
        rows = file.execute("SELECT * FROM outbox").fetchall()
    file.close()
    assert b'"pin"' in b"".join(value for row in rows for value in row if isinstance(value, bytes))
    assert RIGHT not in str(rows)
