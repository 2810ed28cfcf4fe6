"""A whole terminal behind the structured-light driver: raw exposures in, a payment out. Simulated."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from hil.rig.customer import enrol, obliging, pay
from hil.rig.module_faults import lit_site
from hil.rig.site import Site
from hil.sensor.bench import Bench, write_bench
from hil.sensor.stage import Alive, Person, Stage

pytestmark = pytest.mark.long

PAYER = Stage(subject=Person(90_021))


@pytest.fixture(scope="module")
def module(tmp_path_factory: pytest.TempPathFactory, models_dir: Path) -> Iterator[tuple[Site, Path]]:
    """A terminal at which somebody is enrolled, lit by its board as it draws; and the module's mishaps."""
    with lit_site(tmp_path_factory.mktemp("module") / "lit") as (site, bench, _):
        enrol(site, Person(90_021), "payer")
        yield site, bench


@pytest.fixture
def site(module: tuple[Site, Path]) -> Site:
    return module[0]


@pytest.fixture
def bench(module: tuple[Site, Path]) -> Path:
    return module[1]


def ending(site: Site, stage: Stage) -> str:
    return pay(site, stage, "payer", "12.50").reason


def test_a_person_pays_and_her_print_does_not(site: Site) -> None:
    assert ending(site, PAYER) == "approved"
    assert ending(site, Stage(subject=Person(90_021), artefact="flat_print")) == "flat"


def test_asked_to_move_she_pays_and_her_printed_head_does_not(site: Site) -> None:
    alive = Alive("virtual-90021", obliging())
    for stage, ends in ((Stage(alive), "approved"), (Stage(alive, "printed_head_painted"), "no_answer")):
        assert pay(site, stage, "payer", "12.50", assurance="dynamic").reason == ends


def test_rows_that_drifted_are_named_and_mended_without_a_restart(site: Site, bench: Path) -> None:
    write_bench(bench, Bench(rows_off_px=1.2))
    assert ending(site, PAYER) != "approved"
    assert "row_drift" in (site.folder / "terminal.log").read_text()
    write_bench(bench, Bench())
    site.wait_for("the camera, opened again", lambda: site.up()["camera"])
    assert ending(site, PAYER) == "approved"
