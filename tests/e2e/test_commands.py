"""The command line, as a merchant uses it on a running terminal."""

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from firmware.audit.export import records
from firmware.audit.verify import verify
from firmware.core.client import ask
from firmware.gallery.consent import read_consent
from firmware.payment.mandate import verify_erasure
from firmware.runtime.messages import Event, Role, Subscribe
from hil.rig.customer import TURNS, form_of
from hil.rig.site import STAFF, Site
from hil.sensor.stage import Person, Stage

CUSTOMER, PAYER = Person(94_000), "payer-cli"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, models_dir: Path) -> Iterator[Site]:
    with Site.make(tmp_path_factory.mktemp("site")) as site:
        site.show(Stage(subject=CUSTOMER))
        yield site


def tessera(*arguments: object) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "firmware.cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=150, check=False)


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


@pytest.fixture(scope="module")
def person(site: Site, customer: None, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Somebody enrolled from the command line, for both purposes; their id."""
    folder = tmp_path_factory.mktemp("papers")
    form, record, mandate = folder / "consent.toml", folder / "consent.cose", folder / "mandate.cose"
    form.write_bytes(form_of("Ada", int(time.time()), ("payment", "door")))
    good("consent", form, "--out", record, *staff(site))
    good("mandate", "--payer", PAYER, "--consent", record, *register(site), "--out", mandate)
    command = ("enrol", *staff(site), "--consent", record, "--mandate", mandate)
    enrolled = tessera(*command)
    if "not all seen in time" in enrolled.stderr:  # a busy machine: who was not seen tries once more
        enrolled = tessera(*command)
    assert enrolled.returncode == 0, enrolled.stderr
    return enrolled.stdout.split()[-1]


def good(*arguments: object) -> str:
    """What a command says that must not fail."""
    ran = tessera(*arguments)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def test_list_shows_no_name(site: Site, person: str) -> None:
    listed = good("people", "list", *staff(site))
    assert person in listed
    assert "Ada" not in listed


def test_export_holds_everything_but_the_template(site: Site, person: str, tmp_path: Path) -> None:
    good("people", "export", person, "--out", tmp_path / "ada.json", *staff(site))
    kept = msgspec.json.decode((tmp_path / "ada.json").read_bytes())
    assert (kept["person"], kept["consent"]["who"], kept["enrolled"]["payer_token"]) == (person, "Ada", PAYER)
    assert kept["enrolled"]["purposes"] == ["payment", "door"]
    assert {"enrolment", "exported"} == {act["event"] for act in kept["audit_log"]}
    envelope = bytes.fromhex(kept["consent"]["signed_record"])
    assert read_consent(envelope, site.public_keys).recorded_by == STAFF["operator"]
    page = (tmp_path / "ada.html").read_text()
    assert all(word in page for word in (person, "Ada", PAYER, "Corner Shop"))
    assert max(len(str(value)) for value in kept["enrolled"].values()) < 100, "no template hides in it"
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}


def test_pay_after_keys_were_exchanged_and_a_match_was_disputed(site: Site, person: str) -> None:
    assert "epoch 2" in good("upkeep", "rotate", "sealing", *staff(site, "technician"))
    assert "1 templates" in good("upkeep", "rotate", "payment", *staff(site, "technician"))
    assert "1 so far" in good("people", "dispute", person, *staff(site))
    assert "approved" in good("pay", "3.20", "EUR", "--payer", PAYER, *register(site))


def test_withdrawal_of_one_purpose_then_of_all(site: Site, person: str, tmp_path: Path) -> None:
    copy = good("upkeep", "backup", *staff(site, "technician")).split()[-1]
    left, receipt = tmp_path / "left.cose", tmp_path / "receipt.cose"
    good("people", "withdraw", person, "door", "--receipt", left, *staff(site))
    assert read_consent(left.read_bytes(), site.public_keys).purposes == ("payment",)
    good("people", "erase", person, *staff(site), "--receipt", receipt)
    assert verify_erasure(receipt.read_bytes(), site.public_key).person == person
    assert Path(copy).exists()

    refused = tessera("pay", "3.20", "EUR", "--payer", PAYER, *register(site))
    assert refused.returncode == 1
    assert "not_enrolled" in refused.stdout


def test_log_of_all_that_holds(site: Site, person: str) -> None:
    report = verify(Path(site.config.state_dir) / "audit", site.public_keys)
    assert report.good, report.faults
    told = [record["event"] for record in records(Path(site.config.state_dir) / "audit")]
    assert report.signed == report.last
    for event in ("consent_recorded", "mandate_used", "enrolment", "exported", "key_rotated", "dispute", "erasure"):
        assert event in told
    by = {record.get("by") for record in records(Path(site.config.state_dir) / "audit")}
    assert by <= {None, "", *STAFF.values()}


def test_doctor_finds_nothing_wrong(site: Site) -> None:
    ran = tessera("doctor", "--config", site.config_path)
    assert ran.returncode == 0, ran.stdout


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (("people", "erase", "0" * 16, "--receipt", "/dev/null"), "Nobody is enrolled"),
        (("people", "export", "0" * 16, "--out", "/nowhere/x.json"), "Nobody is enrolled"),
        (("upkeep", "backup"), "for the role technician"),
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
