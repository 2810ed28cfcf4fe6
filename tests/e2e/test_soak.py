"""Twenty minutes of payments, refusals and enrolments: memory and descriptors stay flat. `make soak` runs it."""

import time
from pathlib import Path

import psutil
import pytest

from firmware.core.client import ask
from firmware.runtime.messages import Erase
from hil.rig.customer import enrol, pay
from hil.rig.site import PROCESSES, Site
from hil.sensor.stage import Person, Stage

MINUTES = 20
WARM_UP_S = 120
# What a heap may breathe; a leak of 1 KB per frame would be 18 MB.
ALLOWED_GROWTH_MB = 8.0
CUSTOMER, STRANGER = Person(92_000), Person(92_001)


def measure(site: Site) -> dict[str, tuple[float, int]]:
    """(resident MB, open descriptors) of each process of the terminal."""
    found = {}
    for name in PROCESSES:
        process = psutil.Process(site.pid(name))
        found[name] = (process.memory_info().rss / 1e6, process.num_fds())
    return found


@pytest.mark.soak
@pytest.mark.timeout(MINUTES * 60 + 300)
def test_memory_and_descriptors_stay_flat(tmp_path: Path, models_dir: Path, mosquitto_installed: None) -> None:
    with Site.make(tmp_path / "site", broker="mosquitto") as site:
        pids = {name: site.pid(name) for name in PROCESSES}
        began, early, rounds = time.monotonic(), None, 0
        while time.monotonic() - began < MINUTES * 60:
            payer = f"payer-{rounds}"
            person = enrol(site, CUSTOMER, payer)
            assert pay(site, Stage(subject=CUSTOMER), payer, "1.00").register == "approved"
            assert pay(site, Stage(subject=STRANGER), payer, "1.00").reason == "not_recognised"
            assert pay(site, Stage(subject=CUSTOMER, artefact="flat_print"), payer, "1.00").reason == "flat"
            with site.control() as core:
                ask(core, Erase(person=person), timeout_s=5)
            rounds += 1
            if early is None and time.monotonic() - began > WARM_UP_S:
                early = measure(site)
        late = measure(site)
        assert early is not None
        assert {name: site.pid(name) for name in PROCESSES} == pids, "a process died during the soak"
    print(f"{rounds} rounds; after {WARM_UP_S} s {early}; at the end {late}")  # noqa: T201
    for name in PROCESSES:
        assert late[name][0] - early[name][0] < ALLOWED_GROWTH_MB, name
        assert late[name][1] <= early[name][1] + 1, name
