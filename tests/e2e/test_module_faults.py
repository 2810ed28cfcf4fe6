"""A structured-light module and its emitter break in a whole terminal: one named cause, and no restart. Simulated."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from hil.rig.camera_faults import Fault, break_and_mend, plain
from hil.rig.module_faults import MISHAPS, lit_module
from hil.rig.site import Site

pytestmark = pytest.mark.long

LATEST_FRAME = 3


@pytest.fixture(scope="module")
def module(tmp_path_factory: pytest.TempPathFactory, models_dir: Path) -> Iterator[tuple[Site, dict[str, Fault]]]:
    with lit_module(tmp_path_factory.mktemp("module") / "lit") as lit:
        yield lit


@pytest.mark.parametrize("name", MISHAPS)
def test_a_fault_of_the_module_ends_in_its_one_cause_and_is_recovered_from(
    module: tuple[Site, dict[str, Fault]], name: str
) -> None:
    site, faults = module
    core = site.pid("core")
    broken = break_and_mend(site, faults[name], random.Random(name).randint(1, LATEST_FRAME))
    assert broken.look.reason == "camera_lost"
    assert broken.look.causes == (faults[name].cause,)
    assert plain(faults[name].cause) in broken.look.text
    assert site.pid("core") == core
