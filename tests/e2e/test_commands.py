"""The command line, as a merchant uses it on a running terminal."""

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from drivers.secure_element.software import open_secure_element
from firmware.core.client import ask
from firmware.payment.mandate import verify_erasure
from firmware.runtime.messages import Event, Role, Subscribe
from hil.rig.customer import TURNS
from hil.rig.site import STAFF, Site
from hil.sensor.stage import Person, Stage

CUSTOMER, PAYER = Person(94_000), "payer-cli"
CONSENT = """
who = "Ada"
purpose = "payment"
notice_sha256 = "{notice}"
retention_days = 30
date_of_birth = 1990-01-01
given_at = {now}
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, models_dir: Path) -> Iterator[Site]:
    with Site.make(tmp_path_factory.mktemp("site")) as site:
        site.show(Stage(subject=CUSTOMER))
        yield site


def tessera(*arguments: object) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "firmware.cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def staff(site: Site, role: Role = "operator") -> tuple[object, ...]:
    return ("--config", site.config_path, "--as", STAFF[role], "--passphrase-file", site.passphrase_file(role))


def register(site: Site) -> tuple[object, ...]:
    return ("--register", site.register_url, "--token", site.folder / "token")


def follow_prompts(site: Site, ready: threading.Event, done: threading.Event) -> None:
    """What the customer does while somebody else types: turn when asked, tap when asked."""
    with site.control() as core:
        ask(core, Subscribe(), timeout_s=5)
        ready.set()
        while not done.is_set():
            event = core.receive(0.2)
            if isinstance(event, Event) and event.stage == "prompt" and event.reason in TURNS:
                yaw, pitch = TURNS[event.reason]
                site.show(Stage(subject=CUSTOMER, yaw_deg=yaw, pitch_deg=pitch))
            elif isinstance(event, Event) and (event.stage, event.reason) == ("prompt", "tap"):
                site.show(Stage(subject=CUSTOMER))
                assert tessera("tap", "--config", site.config_path).returncode == 0


@pytest.fixture(scope="module")
def customer(site: Site) -> Iterator[None]:
    ready, done = threading.Event(), threading.Event()
    thread = threading.Thread(target=follow_prompts, args=(site, ready, done))
    thread.start()
    assert ready.wait(10)
    yield
    done.set()
    thread.join()


def test_enrol_pay_erase_from_the_command_line(site: Site, customer: None, tmp_path: Path) -> None:
    consent, mandate = tmp_path / "consent.toml", tmp_path / "mandate.cose"
    consent.write_text(CONSENT.format(notice="ab" * 32, now=int(time.time())))
    asked = tessera("mandate", "--payer", PAYER, "--consent", consent, *register(site), "--out", mandate)
    assert asked.returncode == 0, asked.stderr

    enrolled = tessera("enrol", *staff(site), "--consent", consent, "--mandate", mandate)
    assert enrolled.returncode == 0, enrolled.stderr
    person = enrolled.stdout.split()[-1]

    listed = tessera("people", "list", *staff(site))
    assert person in listed.stdout
    assert "Ada" not in listed.stdout

    paid = tessera("pay", "3.20", "EUR", "--payer", PAYER, *register(site))
    assert paid.returncode == 0, paid.stdout + paid.stderr
    assert "approved" in paid.stdout

    receipt = tmp_path / "receipt.cose"
    erased = tessera("people", "erase", person, *staff(site), "--receipt", receipt)
    assert erased.returncode == 0, erased.stderr
    element = open_secure_element(site.config.secure_element.options)
    assert verify_erasure(receipt.read_bytes(), element.public_key).person == person

    refused = tessera("pay", "3.20", "EUR", "--payer", PAYER, *register(site))
    assert refused.returncode == 1
    assert "not_enrolled" in refused.stdout


def test_doctor_finds_nothing_wrong(site: Site) -> None:
    ran = tessera("doctor", "--config", site.config_path)
    assert ran.returncode == 0, ran.stdout


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (("people", "erase", "0" * 16, "--receipt", "/dev/null"), "Nobody is enrolled"),
        (("enrol", "--consent", "none.toml", "--mandate", "none.cose"), "without consent"),
    ],
)
def test_wrong_request_is_one_line(site: Site, wrong: tuple[str, ...], told: str) -> None:
    ran = tessera(*wrong, *staff(site))
    assert ran.returncode == 1
    assert told in ran.stderr
    assert "Traceback" not in ran.stderr


def test_terminal_that_is_not_running_is_said(tmp_path: Path, site: Site) -> None:
    (tmp_path / "terminal.toml").write_text(site.config_path.read_text())
    ran = tessera("people", "list", "--config", tmp_path / "terminal.toml", *staff(site)[2:])
    assert ran.returncode == 1
    assert "not running" in ran.stderr
