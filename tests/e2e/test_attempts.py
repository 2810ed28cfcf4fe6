"""Failed attempts on real processes: counted before they are told, and through kill and restart."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from firmware.core.attempts import FREE
from firmware.core.client import ask
from firmware.core.errors import TerminalError
from firmware.runtime.messages import Enrol, Event, ListPeople
from hil.rig.customer import enrol, papers_for, pay
from hil.rig.site import Site
from hil.sensor.stage import Person, Stage

ADA, BOB, STRANGER = Person(94_200), Person(94_201), Person(94_202)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, models_dir: Path) -> Iterator[Site]:
    """A terminal at which Ada and Bob are enrolled."""
    with Site.make(tmp_path_factory.mktemp("site")) as site:
        enrol(site, ADA, "payer-ada")
        enrol(site, BOB, "payer-bob")
        yield site


def ending(site: Site, who: Person, payer: str) -> str:
    return pay(site, Stage(subject=who), payer, "1.00").reason


def tries(site: Site, payer: str) -> str:
    with site.control() as core:
        people = ask(core, ListPeople(), timeout_s=5).people
    return str(next(person.tries for person in people if person.payer == payer))


def test_a_faceless_look_is_no_failed_try_and_a_confirmed_one_forgets_those_before(site: Site) -> None:
    assert pay(site, Stage(), "payer-bob", "1.00").reason == "no_face"
    assert tries(site, "payer-bob") == ""
    assert ending(site, STRANGER, "payer-bob") == "not_recognised"
    assert tries(site, "payer-bob") == "1 failed try in a row"
    assert ending(site, BOB, "payer-bob") == "approved"
    assert tries(site, "payer-bob") == ""


def test_a_stranger_gets_five_tries_whatever_is_killed_in_between(site: Site) -> None:
    for number in range(FREE - 1):
        assert ending(site, STRANGER, "payer-ada") == "not_recognised", number

    def kill(event: Event) -> None:
        if event.why == "not_recognised":
            dead = site.pid("core")
            os.kill(dead, signal.SIGKILL)
            site.wait_for("core, started again", lambda: all(site.up().values()) and site.pid("core") != dead)

    # core dies at its very first word of it; nobody hears of an outcome
    with pytest.raises(Exception, match=r"hung up|closed|said nothing|ended|gone"):
        pay(site, Stage(subject=STRANGER), "payer-ada", "1.00", on_event=kill)
    assert ending(site, ADA, "payer-ada") == "wait", "even Ada herself, for half a minute"
    assert tries(site, "payer-ada").startswith(f"{FREE} failed tries in a row; the next in ")
    assert ending(site, BOB, "payer-bob") == "approved", "nobody else waits"
    site.stop_terminal()
    site.start_terminal()
    assert ending(site, ADA, "payer-ada") == "wait"


def spoofed(site: Site, stage: Stage) -> str:
    """What comes of an enrolment of nobody alive."""
    consent, mandate = papers_for(site, "payer-new")
    site.show(stage)
    with site.control() as core, pytest.raises(TerminalError) as error:
        ask(core, Enrol(consent=consent, mandate=mandate), timeout_s=20)
    return str(error.value)


def test_prints_at_an_enrolment_slow_the_terminal_down(site: Site) -> None:
    for _ in range(FREE):
        assert "not_confirmed" in spoofed(site, Stage(subject=ADA, artefact="flat_print"))
    assert site.status().tries.startswith(f"{FREE} failed tries in a row; the next in ")
    assert "Please wait" in spoofed(site, Stage(subject=ADA, artefact="flat_print"))
    assert ending(site, BOB, "payer-bob") == "wait", "faces, for half a minute; other ways to pay are never slowed"
