"""Payments at assurance `dynamic`, real processes and mosquitto: who lives answers, a printed head of them does not."""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from firmware.core.client import ask
from firmware.core.reasons import FALLBACK, PROMPTS
from firmware.payment import cose, schema
from firmware.payment.messages import Authorization, Intent
from firmware.runtime.ipc import IpcError
from firmware.runtime.messages import Cancel, Event, ListPeople
from hil.rig.customer import Visit, choose_pin, enrol, obliging, papers_for, pay, pay_moving
from hil.rig.site import Site
from hil.rig.tap import Tap
from hil.sensor.stage import Alive, Stage

ADA, PAYER = Alive("virtual-90012", obliging()), "payer-ada"
PIN = "907133846512"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, models_dir: Path, mosquitto_installed: None) -> Iterator[Site]:
    """A terminal at which Ada, who does whatever is asked of her, is enrolled and has chosen a PIN."""
    with Site.make(tmp_path_factory.mktemp("site"), broker="mosquitto") as site:
        papers = papers_for(site, PAYER)
        person = enrol(site, ADA, PAYER, papers=papers)
        choose_pin(site, person, site.mandate(PAYER, papers[0], "pin"), PIN)
        yield site


@pytest.fixture(scope="module")
def tap(site: Site) -> Iterator[Tap]:
    assert site.authority is not None
    with Tap(site.broker, site.authority) as tap:
        yield tap


def visit(site: Site, stage: Stage, on_event: Callable[[Event], None] = lambda _: None) -> Visit:
    return pay(site, stage, PAYER, "12.50", on_event=on_event, assurance="dynamic")


def asked(events: list[Event]) -> list[str]:
    return [event.reason for event in events if event.stage == "prompt" and event.reason in PROMPTS]


def newest_intent(tap: Tap) -> str:
    envelope = next(envelope for topic, envelope in reversed(tap.seen) if topic.endswith("/intent"))
    return schema.decode(cose.peek(envelope), Intent).id.hex()


def tries(site: Site) -> str:
    with site.control() as core:
        (ada,) = ask(core, ListPeople(), timeout_s=5).people
    return str(ada.tries)


def test_ada_is_asked_to_move_and_pays_at_assurance_dynamic(site: Site, tap: Tap) -> None:
    paid = pay_moving(site, Stage(ADA), PAYER, "12.50")
    assert (paid.reason, paid.register) == ("approved", "approved")
    assert asked(paid.events)
    (envelope,) = tap.distinct("authorization")[paid.intent]
    evidence = schema.decode(cose.peek(envelope), Authorization).evidence
    assert evidence.assurance == "dynamic"
    assert "dynamic" in evidence.gates


def test_ada_pays_with_face_and_pin_and_what_she_typed_is_nowhere(site: Site, tap: Tap) -> None:
    paid = pay_moving(site, Stage(ADA), PAYER, "48.00", pin=PIN)
    assert (paid.reason, paid.register) == ("approved", "approved")
    (envelope,) = tap.distinct("authorization")[paid.intent]
    evidence = schema.decode(cose.peek(envelope), Authorization).evidence
    assert evidence.assurance == "dynamic_pin"
    assert {"dynamic", "pin"} <= set(evidence.gates)
    kept = b"".join(path.read_bytes() for path in site.folder.rglob("*") if path.is_file())
    sent = b"".join(topic.encode() + envelope for topic, envelope in tap.seen)
    assert PIN not in str(paid.events)
    for form in (PIN.encode(), PIN.encode().hex().encode(), int(PIN).to_bytes(8, "big"), bytes(map(int, PIN))):
        assert form not in kept
        assert form not in sent


def test_a_printed_head_of_ada_is_asked_twice_and_refused_with_nothing_signed(site: Site, tap: Tap) -> None:
    refused = visit(site, Stage(ADA, "printed_head_painted"))
    assert (refused.reason, refused.register) == ("no_answer", "declined/no_answer")
    first, second = asked(refused.events)
    assert first != second
    assert refused.intent not in tap.distinct("authorization")


def test_who_cancels_at_the_prompt_is_offered_the_other_way_and_has_failed_no_try(site: Site, tap: Tap) -> None:
    def cancel(event: Event) -> None:
        if asked([event]):
            assert event.text.endswith(FALLBACK)
            with site.control() as core:
                ask(core, Cancel(scene=event.scene), timeout_s=5)

    left = visit(site, Stage(ADA), cancel)
    assert (left.reason, left.register) == ("cancelled", "declined/cancelled")
    assert left.text.endswith(FALLBACK)
    assert tries(site) == ""
    assert left.intent not in tap.distinct("authorization")


def test_a_terminal_that_dies_while_it_asks_declines_when_it_is_back(site: Site, tap: Tap) -> None:
    def kill(event: Event) -> None:
        if asked([event]):
            dead = site.pid("core")
            os.kill(dead, signal.SIGKILL)
            site.wait_for("core, started again", lambda: all(site.up().values()) and site.pid("core") != dead)

    with pytest.raises(IpcError):
        visit(site, Stage(ADA), kill)
    intent = newest_intent(tap)
    site.wait_for("the register", lambda: site.state(intent)[0] != "open", 10)
    assert site.state(intent) == ("declined", "interrupted")
    assert intent not in tap.distinct("authorization")
