"""What is told outside the rig: one sentence for every sign of an attack, no value, no precise reason."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from firmware.core.reasons import FALLBACK, MENDABLE
from hil.rig.customer import Visit, enrol, pay
from hil.rig.site import Site
from hil.sensor.stage import Person, Stage

ADA, STRANGER = Person(94_210), Person(94_211)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, models_dir: Path) -> Iterator[Site]:
    """A terminal as customers meet it."""
    with Site.make(tmp_path_factory.mktemp("site"), profile="demo") as site:
        enrol(site, ADA, "payer-ada")
        yield site


def visit(site: Site, stage: Stage) -> Visit:
    seen = pay(site, stage, "payer-ada", "1.00")
    assert all(event.why == "" and event.values == {} for event in seen.events)
    frames = {event.reason for event in seen.events if event.stage == "evidence"}
    assert frames <= MENDABLE | {"looking"}
    return seen


@pytest.mark.parametrize(
    "stage", [Stage(subject=ADA, artefact="flat_print"), Stage(subject=STRANGER)], ids=["a print", "a stranger"]
)
def test_a_print_and_a_stranger_hear_the_same(site: Site, stage: Stage) -> None:
    told = visit(site, stage)
    assert (told.reason, told.register) == ("not_confirmed", "declined/not_confirmed")
    assert told.text == f"Refused: The face could not be confirmed. {FALLBACK}"
    assert [event.reason for event in told.events if event.stage == "prompt"] == ["tap", "look"]


def test_what_the_customer_can_mend_is_told(site: Site) -> None:
    near = visit(site, Stage(subject=ADA, distance_mm=230.0))
    assert near.reason == "too_near"
    assert "Please step back a little." in near.text
    assert visit(site, Stage(subject=ADA)).reason == "approved"
