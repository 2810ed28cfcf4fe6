"""A secure element that goes away takes the terminal out of service: one clear cause, capture off, nothing signed."""

import asyncio
import logging
from collections.abc import Coroutine
from types import SimpleNamespace
from typing import Any, cast

import pytest

from drivers.secure_element.interface import Capability, SecureElementError, SecureElementGoneError
from firmware.core import payments as module
from firmware.core.attempts import NOBODY
from firmware.core.parts import Parts
from firmware.core.session import Phase, Session
from firmware.core.terminal import Terminal
from firmware.runtime.config import load_profile
from firmware.runtime.messages import Event

CAUSE = "the token in slot 3 answers no more; put it back and start the terminal again"
PROFILE = load_profile("payment")


class Element:
    """Answers until it is pulled out."""

    capabilities: frozenset[Capability] = frozenset()

    def __init__(self) -> None:
        self.pulled, self.asked = asyncio.Event(), 0

    def random(self, size: int) -> bytes:
        self.asked += 1
        if self.pulled.is_set():
            raise SecureElementGoneError(CAUSE)
        return bytes(size)


class Outbox:
    """Notes what is asked of it."""

    def __init__(self) -> None:
        self.opened: list[object] = []

    def open_intent(self, accepted: object, now: int | None) -> None:
        self.opened.append(accepted)

    def interrupted(self) -> list[object]:
        return []

    put_back = False

    def waiting(self) -> int:
        return 0


class Watching:
    """A camera that looks on until it is told to stop."""

    dynamic = None
    look_s = 10.0

    def __init__(self, *_: object) -> None:
        self.on = False

    async def begin(self) -> str:
        self.on = True
        return ""

    async def end(self) -> None:
        self.on = False


def terminal_of(element: Element) -> Terminal:
    attempts = SimpleNamespace(standing=lambda who: SimpleNamespace(told="" if who == NOBODY else "?"))
    parts = SimpleNamespace(
        config=SimpleNamespace(emitter=None, terminal="till-1", merchant="CORNER-SHOP"),
        profile=PROFILE,
        element=element,
        outbox=Outbox(),
        gallery=[],
        attempts=attempts,
        trust=None,
        clock=SimpleNamespace(now=lambda: 1_800_000_000),
    )
    return Terminal(cast("Parts", parts), cast("Any", None))


async def gone(terminal: Terminal, element: Element, meanwhile: Coroutine[Any, Any, None] | None = None) -> list[Event]:
    """Pull the element out while the terminal watches it; what the terminal says from then on."""
    said: list[Event] = []
    terminal.stand.subscribers.tell = said.append  # type: ignore[assignment, method-assign]
    watching = asyncio.create_task(terminal.watch_element(every_s=0.0))
    while element.asked < 2:
        await asyncio.sleep(0)
    element.pulled.set()
    while not terminal.stand.closed:
        await asyncio.sleep(0)
    if meanwhile is not None:
        await meanwhile
    watching.cancel()
    return said


def test_the_cause_stands_in_status_and_log_and_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    async def body() -> None:
        element = Element()
        terminal = terminal_of(element)
        assert terminal.status().session == "idle"
        with caplog.at_level(logging.CRITICAL, "tessera.core"):
            said = await gone(terminal, element, asyncio.sleep(0.01))
        assert terminal.status().session == f"out of service: {CAUSE}"
        assert [record.message for record in caplog.records] == [f"out of service: {CAUSE}"]
        (told,) = said
        assert (told.stage, told.reason) == ("notice", "out_of_service")
        assert "another way" in told.text
        assert "slot 3" not in told.text, "the customer is told what they can use"

    asyncio.run(body())


def test_an_intent_that_comes_afterwards_is_not_even_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    async def body() -> None:
        element = Element()
        terminal = terminal_of(element)
        said = await gone(terminal, element)
        monkeypatch.setattr(module, "read_intent", lambda *_, **__: SimpleNamespace(intent=None))
        monkeypatch.setattr(module, "check_time", lambda *_: None)
        terminal.payments.on_intent(b"")
        assert cast("Outbox", terminal.parts.outbox).opened == []
        assert not terminal.stand.busy
        assert (said[-1].stage, said[-1].reason) == ("outcome", "out_of_service")

    asyncio.run(body())


def test_nobody_is_served_afterwards_not_even_when_it_answers_again() -> None:
    async def body() -> None:
        element = Element()
        terminal = terminal_of(element)
        await gone(terminal, element)
        element.pulled.clear()
        with pytest.raises(SecureElementGoneError, match="out of service"):
            terminal.stand.begin(asyncio.sleep(0), "enrolment")
        assert not terminal.stand.busy

    asyncio.run(body())


def test_capture_ends_at_once_where_somebody_is_looked_at() -> None:
    async def body() -> None:
        element = Element()
        terminal, watch = terminal_of(element), Watching()
        await watch.begin()
        session = Session(PROFILE, Phase.LOOK, deadline_ns=2**62, frame_deadline_ns=2**62)
        attempt = SimpleNamespace(saw=lambda reason: None)
        looking = asyncio.create_task(
            terminal.payments._looking.look(session, cast("Any", watch), cast("Any", attempt))
        )
        await gone(terminal, element)
        ended, finding = await asyncio.wait_for(looking, 10.0)
        assert (ended.outcome, ended.reason, finding) == ("refused", "out_of_service", None)
        assert not watch.on

    asyncio.run(body())


def test_a_payment_that_waits_for_its_receipt_still_hears_it() -> None:
    """Its authorization is signed and stored: to verify a receipt takes no key of this terminal."""
    session = Session(PROFILE, Phase.RECEIPT, deadline_ns=2**62)
    assert session.refused("out_of_service") is session
    assert session.settled(True, "").outcome == "approved"


def test_an_element_that_is_only_busy_is_asked_again() -> None:
    async def body() -> None:
        element = Element()
        terminal = terminal_of(element)
        answers: list[Exception] = [SecureElementError("busy")]

        def random(size: int) -> bytes:
            element.asked += 1
            if answers:
                raise answers.pop()
            return bytes(size)

        element.random = random  # type: ignore[method-assign]
        watching = asyncio.create_task(terminal.watch_element(every_s=0.0))
        while element.asked < 3:
            await asyncio.sleep(0)
        watching.cancel()
        assert terminal.stand.closed == ""

    asyncio.run(body())
