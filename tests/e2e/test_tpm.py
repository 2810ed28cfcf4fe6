"""A whole terminal on a TPM in software: Ada enrols and pays, also offline; the TPM is pulled out, and put back."""

import json
import os
import re
import signal
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import msgspec
import pytest

from drivers.secure_element.tpm import provision
from firmware.core.client import ask
from firmware.core.errors import TerminalError
from firmware.payment.counting import BATCH
from firmware.runtime.messages import Erase, Event
from hil.backend.keys import registration, save_registrations
from hil.backend.policy import DEMO
from hil.rig.customer import enrol, pay
from hil.rig.site import MERCHANT, TERMINAL, Site
from hil.sensor.stage import Person, Stage
from tests.secure_element.swtpm import Swtpm, swtpms
from tests.secure_element.tpm_device import options_of

pytestmark = pytest.mark.long
ADA, PAYER = Person(90_010), "payer-tpm"
OFFLINE = f"""
[policy]
name = "demo"
profiles = ["rig"]
assurance = "geometry"
gates = {json.dumps(DEMO.gates)}
match_band = 1
firmware = "0.1.0"
[policy.offline]
currency = "EUR"
payment_minor = 2500
payer_minor = 4000
terminal_minor = 6000
hold_s = 86400
allowance_s = 3600
"""
OUT = "out of service: "


@pytest.fixture
def tpm() -> Iterator[Swtpm]:
    with swtpms() as shelf:
        yield shelf.take()


@pytest.fixture
def site(tmp_path: Path, models_dir: Path, tpm: Swtpm) -> Iterator[Site]:
    """A site whose terminal was given a TPM in the place of its key file."""
    with ExitStack() as stack:
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(Site, "start_terminal", lambda _: None)
            site = stack.enter_context(Site.make(tmp_path))
        site.stop_backend()
        options = options_of(tpm.tcti, tmp_path / "tpm-folder")
        with closing(provision(options)) as element:
            known = registration(TERMINAL, MERCHANT, "rig", element.public_key)
        save_registrations(tmp_path / "terminals.json", [msgspec.structs.replace(known, counter=True)])
        with (tmp_path / "backend.toml").open("a") as backend:
            backend.write(OFFLINE)
        table = "".join(f'{name} = "{value}"\n' for name, value in options.items())
        text = re.sub(r"(?m)^\[secure_element\]\n.*\n.*\n", "", site.config_path.read_text())
        site.config_path.write_text(f'{text}[secure_element]\nbackend = "tpm"\n[secure_element.options]\n{table}')
        site.start_backend()
        site.start_terminal()
        another_allowance(site)
        yield site


def another_allowance(site: Site) -> None:
    """A new outbox takes nothing under the first it hears of; another policy brings the next at once."""
    site.wait_for("the first allowance", lambda: "waits for the next" in site.status().offline, 30)
    site.stop_backend()
    policy = site.folder / "backend.toml"
    policy.write_text(policy.read_text().replace("terminal_minor = 6000", "terminal_minor = 6001"))
    site.start_backend()
    os.kill(site.pid("link"), signal.SIGKILL)  # the next one's connection is what the time is asked at
    site.wait_for("the next allowance", lambda: site.status().offline == "", 30)


def takes_a_payment_offline(site: Site) -> None:
    """The broker dies while Ada is looked at: told as taken, confirmed when it is back."""

    def cut(event: Event) -> None:
        if event.reason == "look":
            site.broker.kill()
            site.wait_for("the link to notice", lambda: not site.up()["link"])
            site.show(Stage(subject=ADA))

    visit = pay(site, Stage(), PAYER, "25.00", on_event=cut)
    assert (visit.reason, visit.register) == ("taken_offline", "open")
    assert "pproved" not in " ".join(event.text for event in visit.events)
    site.broker.start()
    site.wait_for("the receipt", lambda: site.state(visit.intent)[0] == "approved", 30)
    site.wait_for("the outbox", lambda: site.status().outbox_waiting == 0, 10)


def counter_of(site: Site) -> int:
    with closing(sqlite3.connect(Path(site.config.state_dir) / "outbox.db")) as database:
        return int(database.execute("SELECT value FROM meta WHERE name = 'counter'").fetchone()[0])


def test_a_terminal_on_a_tpm_pays_offline_too_and_serves_nobody_while_it_is_pulled_out(site: Site, tpm: Swtpm) -> None:
    person = enrol(site, ADA, PAYER)
    assert pay(site, Stage(subject=ADA), PAYER, "12.50").reason == "approved"
    takes_a_payment_offline(site)
    tpm.kill()
    site.wait_for("the terminal's word", lambda: site.status().session.startswith(OUT), 10)
    assert "the TPM answers no more" in site.status().session
    site.wait_for("the camera at rest", lambda: site.status().shown == "", 5)
    refused = site.request("2.00", "EUR", PAYER)
    with site.control() as core, pytest.raises(TerminalError):
        ask(core, Erase(person=person), timeout_s=10)
    assert site.status().outbox_waiting == 0, "nothing was signed"
    assert site.state(refused)[0] == "open"
    assert (site.folder / "terminal.log").read_text().count(OUT) == 1
    site.stop_terminal()
    assert counter_of(site) >= BATCH, "granted by the hardware"
    tpm.reset()
    site.start_terminal()
    assert site.status().people == 1
