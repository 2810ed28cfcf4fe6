"""What is typed at the screen: a PIN after the look, and one that is chosen. Real session, stand, gallery and log."""

import asyncio
import hashlib
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from firmware.core.analysis import Finding
from firmware.core.errors import TerminalError
from firmware.core.inbox import Cancelled, Typed
from firmware.core.keypad import Keypad, set_pin
from firmware.core.pins import TRIES, PinError, Pins, Verifier
from firmware.core.reasons import PIN_PROMPTS, SENTENCES
from firmware.core.session import PIN_S, Phase, Session
from firmware.core.stand import BusyError, Stand
from firmware.gallery.gallery import GalleryError
from firmware.liveness.evidence import Cue, Gate
from firmware.liveness.policy import PolicyName, load_policy
from firmware.liveness.verdict import ATTENTIVE, DYNAMIC, GATES
from firmware.payment.errors import PaymentError
from firmware.runtime.config import load_profile
from firmware.runtime.messages import Event, SetPin
from tests.core.office import Office

RIGHT, WRONG = "271828", "314159"
PROFILE = load_profile("payment")
SECOND = 1_000_000_000


class Counter(Office):
    """A terminal at whose screen somebody types. `said` is what it told, `answers` what they type when asked."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.policy: PolicyName = "payment_high"
        self.said: list[Event] = []
        self.answers: list[str | Cancelled] = []
        self.number, self.person = 0, ""

    def next(self) -> None:
        """Somebody new, and nothing said yet."""
        self.number += 1
        self.policy, self.said, self.answers = "payment_high", [], []
        self.person = self.enrol(self.papers(payer=f"payer-{self.number}"), seed=self.number)

    @property
    def basis(self) -> Any:
        return SimpleNamespace(policy=load_policy(self.policy)[0])

    def stand_up(self) -> Stand:
        stand = Stand(cast("Any", None), None, tell_values=False)

        def hear(event: Event) -> None:
            self.said.append(event)
            if event.stage == "prompt" and event.reason in PIN_PROMPTS and self.answers:
                answer = self.answers.pop(0)
                assert stand.touched(event.scene, Typed(answer) if isinstance(answer, str) else answer)

        stand.subscribers.tell = hear  # type: ignore[method-assign]
        return stand

    def mandate_for_pin(self) -> bytes:
        them = self.enrolled(self.person)
        return self.mandate(them.consent, them.payer, "pin")

    def set_to(self, digits: str) -> None:
        pins = Pins(self.parts)
        pins.put(pins.papers(self.person, self.mandate_for_pin()), Verifier.of(digits, 1024), "op")

    @property
    def prompts(self) -> list[str]:
        return [event.reason for event in self.said if event.stage == "prompt"]


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Counter]:
    with closing(Counter(tmp_path_factory.mktemp("counter"))) as one:
        yield one


@pytest.fixture
def counter(one: Counter, monkeypatch: pytest.MonkeyPatch) -> Counter:
    """The next person comes to the counter. What scrypt makes of their PIN is a matter of `test_pins`."""
    monkeypatch.setattr(
        "firmware.core.pins.stretched", lambda digits, salt, _: hashlib.sha256(salt + digits.encode()).digest()
    )
    one.next()
    return one


def alive(dynamic: bool = True) -> Finding:
    """Everything that policy `payment_high` wants but the PIN."""
    names = (*GATES, ATTENTIVE, DYNAMIC) if dynamic else (*GATES, ATTENTIVE)
    cues = tuple(Cue(name, 1.0, 1.0) for name in load_policy("payment_high")[0].cues)
    return Finding("", tuple(Gate(name, 1.0, "", passed=True, reason="") for name in names), cues, 5.0, dynamic)


def looked(now_ns: int, pin: bool = True) -> Session:
    session = Session.begin(PROFILE, now_ns, pin=pin).tapped(now_ns)
    for _ in range(PROFILE.frames_needed):
        session = session.looked("", now_ns)
    return session


def serve(counter: Counter, work: Callable[[Stand], Coroutine[Any, Any, None]]) -> None:
    """Let `work` be what the terminal does, to its end."""

    async def body() -> None:
        stand = counter.stand_up()
        stand.begin(work(stand), "payment")
        assert stand._active is not None
        await stand._active

    asyncio.run(body())


def pay(counter: Counter, *answers: str | Cancelled, finding: Finding | None = None) -> tuple[Session, Finding]:
    """The session and finding after somebody who was recognised typed `answers` one by one."""
    counter.answers = list(answers)
    ended: list[tuple[Session, Finding | None]] = []

    async def work(stand: Stand) -> None:
        session = looked(time.monotonic_ns())
        ended.append(await Keypad(counter.parts, stand).asked(session, finding or alive(), counter.person))
        assert not stand.typing

    serve(counter, work)
    ((session, found),) = ended
    assert found is not None
    return session, found


# -- in a payment


def test_the_right_pin_decides_and_the_evidence_says_so(counter: Counter) -> None:
    counter.set_to(RIGHT)
    session, finding = pay(counter, RIGHT)
    assert session.phase is Phase.DECIDED
    assert finding.assurance == "dynamic_pin"
    assert finding.gates[-1].name == "pin"
    assert counter.prompts == ["pin"]


def test_a_face_alone_is_never_more_than_dynamic(counter: Counter) -> None:
    assert alive().assurance == "dynamic"
    assert alive(dynamic=False).assurance == "geometry"


def test_who_types_a_wrong_one_is_asked_again(counter: Counter) -> None:
    counter.set_to(RIGHT)
    session, _ = pay(counter, WRONG, RIGHT)
    assert session.phase is Phase.DECIDED
    assert counter.prompts == ["pin", "pin_wrong"]


def test_the_fifth_wrong_one_ends_it_and_the_next_payment_is_refused_before_the_look(counter: Counter) -> None:
    counter.set_to(RIGHT)
    session, finding = pay(counter, *[WRONG] * TRIES, RIGHT)
    assert (session.outcome, session.reason) == ("refused", "pin_locked")
    assert finding.assurance == "dynamic"
    assert counter.answers == [RIGHT], "nobody is asked a sixth time"
    keypad = Keypad(counter.parts, cast("Stand", None))
    assert keypad.held_back(looked(0), counter.person) == "pin_locked"


def test_wrong_ones_add_up_over_payments(counter: Counter) -> None:
    """Attack: cancel after every wrong one, and have the register ask again."""
    counter.set_to(RIGHT)
    for _ in range(TRIES - 1):
        assert pay(counter, WRONG, Cancelled())[0].reason == "cancelled"
    assert pay(counter, WRONG, RIGHT)[0].reason == "pin_locked"


def test_who_types_nothing_is_refused_in_time(counter: Counter, monkeypatch: pytest.MonkeyPatch) -> None:
    counter.set_to(RIGHT)
    monkeypatch.setattr("firmware.core.session.PIN_S", 0.0)
    session, finding = pay(counter)
    assert (session.outcome, session.reason) == ("refused", "no_pin")
    assert finding.assurance == "dynamic"


def test_cancel_is_taken_while_a_pin_is_asked_for(counter: Counter) -> None:
    counter.set_to(RIGHT)
    session, _ = pay(counter, Cancelled())
    assert (session.outcome, session.reason) == ("refused", "cancelled")


def test_who_has_set_none_is_refused_before_the_look(counter: Counter) -> None:
    keypad = Keypad(counter.parts, cast("Stand", None))
    assert keypad.held_back(looked(0), counter.person) == "pin_missing"
    assert keypad.held_back(looked(0, pin=False), counter.person) == ""
    assert pay(counter, RIGHT)[0].reason == "pin_missing"


def test_pin_that_cannot_be_read_or_counted_is_a_no(counter: Counter, monkeypatch: pytest.MonkeyPatch) -> None:
    counter.set_to(RIGHT)

    def broken(*_: object) -> None:
        raise GalleryError("gallery_write", "the disk is full")

    monkeypatch.setattr(counter.gallery, "note_secret", broken)
    assert pay(counter, RIGHT)[0].reason == "store"
    monkeypatch.setattr(counter.gallery, "secret", broken)
    assert Keypad(counter.parts, cast("Stand", None)).held_back(looked(0), counter.person) == "store"


def test_the_right_pin_makes_up_for_nothing(counter: Counter) -> None:
    """A finding that lacks what the policy wants is refused, whatever was typed."""
    counter.set_to(RIGHT)
    for lacking, reason in ((alive(dynamic=False), "gate_unknown"), (replace(alive(), cues=()), "not_alive")):
        session, _ = pay(counter, RIGHT, finding=lacking)
        assert (session.outcome, session.reason) == ("refused", reason)


def test_session_without_a_pin_is_asked_for_none(counter: Counter) -> None:
    async def body() -> None:
        keypad = Keypad(counter.parts, counter.stand_up())
        decided, over, finding = looked(0, pin=False), looked(0).refused("cancelled"), alive()
        assert decided.phase is Phase.DECIDED
        for session in (decided, over):
            assert await keypad.asked(session, finding, counter.person) == (session, finding)

    asyncio.run(body())
    assert counter.prompts == []


@pytest.mark.parametrize(
    ("policy", "assurance", "wanted"),
    [
        ("payment_high", "geometry", True),
        ("payment", "dynamic_pin", True),
        ("demo", "dynamic_pin", True),
        ("payment", "dynamic", False),
        ("demo", "geometry", False),
    ],
)
def test_a_pin_is_wanted_by_the_policy_or_by_the_intent(
    counter: Counter, policy: PolicyName, assurance: Any, wanted: bool
) -> None:
    counter.policy = policy
    assert Keypad(counter.parts, cast("Stand", None)).wanted(assurance) is wanted


def test_a_pin_is_taken_only_while_one_is_asked_for_and_once(counter: Counter) -> None:
    """Attack: type ahead, so that one touch is many tries."""
    counter.set_to(RIGHT)

    async def body() -> None:
        stand = counter.stand_up()

        async def work() -> None:
            await asyncio.sleep(0)

        stand.begin(work(), "payment")
        assert not stand.touched(stand.scene, Typed(WRONG)), "nobody was asked"
        stand.typing = True
        assert not stand.touched(stand.scene - 1, Typed(WRONG)), "of another scene"
        assert stand.touched(stand.scene, Typed(WRONG))
        assert not stand.touched(stand.scene, Typed(WRONG)), "asked once"
        assert stand._active is not None
        await stand._active
        await asyncio.sleep(0)
        assert not stand.touched(stand.scene, Typed(WRONG)), "nobody is there"

    asyncio.run(body())


def test_nothing_that_is_told_holds_what_was_typed(counter: Counter, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    counter.set_to(RIGHT)
    pay(counter, WRONG, RIGHT)
    told = f"{counter.said} {caplog.text} {counter.log()} {Typed(RIGHT)!r}"
    assert RIGHT not in told
    assert WRONG not in told


# -- the session


def test_pin_phase_is_reached_from_the_look_and_left_by_the_right_one_only() -> None:
    session = looked(0)
    assert session.phase is Phase.PIN
    assert session.confirmed
    assert session.looked("flat", 1) == session
    assert session.stored(1) == session, "nothing is stored before it"
    assert session.typed(False, SECOND).phase is Phase.PIN
    assert session.typed(False, SECOND).due_ns() == int((1 + PIN_S) * SECOND)
    assert session.typed(True, SECOND).phase is Phase.DECIDED


def test_the_right_pin_comes_too_late_after_its_time() -> None:
    session = looked(0)
    assert session.typed(True, session.due_ns()).reason == "no_pin"


def test_nothing_typed_in_another_phase_counts() -> None:
    for session in (Session.begin(PROFILE, 0, pin=True), Session.begin(PROFILE, 0, pin=True).tapped(0)):
        assert session.typed(True, 1) == session


# -- choosing one


def choose(counter: Counter, *answers: str | Cancelled, still: Callable[[], None] = lambda: None) -> str:
    """Choose a PIN by typing `answers` one by one; how it ended."""
    counter.answers = list(answers)

    async def body() -> str:
        stand = counter.stand_up()
        request = SetPin(person=counter.person, mandate=counter.mandate_for_pin())
        ended = await set_pin(counter.parts, stand, request, "op", still)
        while stand.busy:
            await asyncio.sleep(0)
        return ended

    return asyncio.run(body())


def knows(counter: Counter, digits: str) -> bool:
    return asyncio.run(Pins(counter.parts).check(counter.person, digits))


def test_who_types_the_same_twice_has_chosen_it(counter: Counter) -> None:
    assert choose(counter, RIGHT, RIGHT) == counter.person
    assert knows(counter, RIGHT)
    assert counter.prompts == ["pin_choose", "pin_again"]
    assert [event.reason for event in counter.said if event.stage == "outcome"] == ["pin_set"]


def test_who_mistypes_begins_anew(counter: Counter) -> None:
    choose(counter, RIGHT, WRONG, WRONG, WRONG)
    assert counter.prompts == ["pin_choose", "pin_again", "pin_differs", "pin_again"]
    assert knows(counter, WRONG)


def test_a_weak_one_is_not_taken(counter: Counter) -> None:
    choose(counter, "1234", "0000", RIGHT, RIGHT)
    assert counter.prompts == ["pin_choose", "pin_weak", "pin_weak", "pin_again"]
    assert knows(counter, RIGHT)


@pytest.mark.parametrize("typed_before", [(), (RIGHT,)])
def test_cancel_keeps_the_old_one_and_the_mandate(counter: Counter, typed_before: tuple[str, ...]) -> None:
    counter.set_to(WRONG)
    with pytest.raises(PinError) as error:
        choose(counter, *typed_before, Cancelled())
    assert error.value.reason == "cancelled"
    assert knows(counter, WRONG)
    assert counter.log()[-1]["event"] == "pin_set", "that of the old one"


def test_who_chooses_nothing_in_time_keeps_the_old_one(counter: Counter, monkeypatch: pytest.MonkeyPatch) -> None:
    counter.set_to(WRONG)
    monkeypatch.setattr("firmware.core.keypad.CHOOSE_S", 0.0)
    with pytest.raises(PinError) as error:
        choose(counter)
    assert error.value.reason == "no_pin"
    assert knows(counter, WRONG)


def test_operator_removed_meanwhile_has_nothing_set(counter: Counter) -> None:
    def removed() -> None:
        raise PinError("This is for the role operator.", "not_allowed")

    with pytest.raises(TerminalError):
        choose(counter, RIGHT, RIGHT, still=removed)
    assert Pins(counter.parts).left(counter.person) is None


def test_nobody_chooses_while_somebody_else_is_served(counter: Counter) -> None:
    async def body() -> None:
        stand = counter.stand_up()

        async def work() -> None:
            await asyncio.sleep(0)

        stand.begin(work(), "payment")
        request = SetPin(person=counter.person, mandate=counter.mandate_for_pin())
        with pytest.raises(BusyError):
            await set_pin(counter.parts, stand, request, "op", lambda: None)
        assert stand._active is not None
        await stand._active

    asyncio.run(body())


def test_a_mandate_that_does_not_hold_asks_nobody_anything(counter: Counter) -> None:
    async def body() -> None:
        request = SetPin(person=counter.person, mandate=b"x" * 80)
        with pytest.raises(PaymentError):
            await set_pin(counter.parts, counter.stand_up(), request, "op", lambda: None)

    asyncio.run(body())
    assert counter.said == []


def test_every_code_has_its_sentence() -> None:
    assert {"no_pin", "pin_wrong", "pin_locked", "pin_missing"} <= SENTENCES.keys()
