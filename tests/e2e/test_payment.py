"""The whole path on real processes, mosquitto with mutual TLS, and somebody made up before the virtual camera."""

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from firmware.core.client import ask
from firmware.core.errors import TerminalError
from firmware.link.topics import topic
from firmware.payment import schema
from firmware.payment.clock import EARLIEST
from firmware.payment.messages import Beacon
from firmware.payment.trust import key_id
from firmware.runtime.ipc import Connection
from firmware.runtime.messages import Cancel, Enrol, Erase, Event, FromCore, ListPeople, Subscribe, Tap
from hil.backend.fleet import nothing
from hil.backend.keys import load_backend_key, sign_key_set, signer
from hil.rig.brokers import BACKENDS
from hil.rig.customer import enrol, papers_for, pay
from hil.rig.site import TERMINAL, Site
from hil.sensor.stage import Person, Stage
from tests.attacks.site import Wire

ADA = Person(90_010)
HER = Stage(subject=ADA)
PAYER = "payer-ada"
UNCONFIRMED = "declined/not_confirmed"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, models_dir: Path, mosquitto_installed: None) -> Iterator[Site]:
    """A terminal at which Ada is enrolled."""
    folder = tmp_path_factory.mktemp("site")
    with Site.make(folder, broker="mosquitto") as site:
        enrol(site, ADA, PAYER)
        yield site


def replaced(stage: Stage, **changes: object) -> Stage:
    return Stage(**({name: getattr(stage, name) for name in stage.__struct_fields__} | changes))


def ending(site: Site, stage: Stage, payer: str = PAYER) -> tuple[str, str]:
    visit = pay(site, stage, payer, "12.50")
    return visit.reason, visit.register


def test_ada_pays(site: Site) -> None:
    assert ending(site, HER) == ("approved", "approved")


@pytest.mark.parametrize("artefact", ["flat_print", "bent_print"])
def test_print_of_ada_does_not_pay(site: Site, artefact: str) -> None:
    assert ending(site, replaced(HER, artefact=artefact)) == ("flat", UNCONFIRMED)


def test_replay_of_ada_on_a_phone_does_not_pay(site: Site) -> None:
    stage = replaced(HER, artefact="phone_screen", distance_mm=350.0)
    assert ending(site, stage) == ("no_face", "declined/no_face")


@pytest.mark.parametrize("seed", [90_001, 90_002, 90_003])
def test_another_head_does_not_pay_as_ada(site: Site, seed: int) -> None:
    assert ending(site, Stage(subject=Person(seed))) == ("not_recognised", UNCONFIRMED)
    assert ending(site, HER) == ("approved", "approved"), "and she still can"


def test_ada_does_not_pay_as_somebody_who_is_not_enrolled(site: Site) -> None:
    assert ending(site, HER, "payer-nobody") == ("not_enrolled", "declined/not_enrolled")


def test_second_face_beside_ada_is_a_reason_not_a_guess(site: Site) -> None:
    assert ending(site, replaced(HER, second=Person(90_004))) == ("two_faces", "declined/two_faces")


def test_enrolment_without_consent_is_impossible(site: Site) -> None:
    _, mandate = papers_for(site, "payer-x")
    with site.control() as core, pytest.raises(TerminalError, match="consent_malformed"):
        ask(core, Enrol(consent=b"", mandate=mandate), timeout_s=5)


def test_enrolment_under_a_mandate_for_another_consent_is_refused(site: Site) -> None:
    _, mandate = papers_for(site, "payer-x")
    other, _ = papers_for(site, "somebody-else")
    with site.control() as core, pytest.raises(TerminalError, match="mandate"):
        ask(core, Enrol(consent=other, mandate=mandate), timeout_s=5)


def test_mandate_enrols_only_once_even_after_erasure(site: Site) -> None:
    papers = papers_for(site, "payer-twice")
    person = enrol(site, Person(90_006), "payer-twice", papers=papers)
    with site.control() as core:
        ask(core, Erase(person=person), timeout_s=5)
    with pytest.raises(TerminalError, match="mandate"):
        enrol(site, Person(90_006), "payer-twice", papers=papers)


def test_a_face_that_pays_for_one_account_is_not_enrolled_for_another(site: Site) -> None:
    with pytest.raises(TerminalError, match="face_enrolled_elsewhere"):
        enrol(site, ADA, "payer-other")
    assert ending(site, HER) == ("approved", "approved"), "and it stays where it is"


def test_another_head_in_the_place_of_the_one_that_began_ends_the_enrolment(site: Site) -> None:
    """Attack: bind one face to an account, with the poses of another in it."""

    def exchange(event: Event) -> None:
        if event.reason == "right":
            site.show(Stage(subject=Person(90_004), yaw_deg=-18.0))

    with pytest.raises(TerminalError, match="person_changed"):
        enrol(site, Person(90_007), "payer-two-heads", exchange)


def test_erasing_nobody_is_refused(site: Site) -> None:
    with site.control() as core, pytest.raises(TerminalError, match="unknown_person"):
        ask(core, Erase(person="0" * 16), timeout_s=5)


def test_amount_above_the_limit_for_a_face_is_declined_without_a_look(site: Site) -> None:
    visit = pay(site, HER, PAYER, "100.01")
    assert (visit.reason, visit.register) == ("amount_limit", "declined/amount_limit")
    assert [event.stage for event in visit.events] == ["outcome"]


def test_tap_for_another_scene_confirms_nothing(site: Site) -> None:
    """A double tap, or one meant for what the screen showed before, must not confirm another amount."""
    told = []

    def tap_the_past(event: Event) -> None:
        if event.reason == "tap":
            with site.control() as core:
                for scene in (event.scene - 1, event.scene + 1):
                    with pytest.raises(TerminalError, match="something else"):
                        ask(core, Tap(scene=scene), timeout_s=5)
                told.append(site.status().shown)

    assert pay(site, HER, PAYER, "3.00", on_event=tap_the_past).reason == "approved"
    assert told == ["Pay 3.00 EUR to CORNER-SHOP"]
    with site.control() as core, pytest.raises(TerminalError, match="something else"):
        ask(core, Tap(scene=site.status().scene), timeout_s=5)


def test_enrolment_ends_when_the_one_who_asked_for_it_hangs_up(site: Site) -> None:
    consent, mandate = papers_for(site, "payer-gone")
    site.show(Stage())
    with site.control() as core:
        core.send(Enrol(consent=consent, mandate=mandate))
        while not (isinstance(event := core.receive(10), Event) and event.stage == "prompt"):
            assert event is not None
    site.wait_for("the enrolment's end", lambda: site.status().session == "idle", 5)
    with site.control() as core:
        assert "payer-gone" not in {person.payer for person in ask(core, ListPeople(), timeout_s=5).people}


def test_cancel_after_the_authorization_is_told_to_be_too_late(site: Site) -> None:
    told = []

    def cancel(event: Event) -> None:
        if event.stage == "authorization":
            with site.control() as core, pytest.raises(TerminalError, match="something else"):
                ask(core, Cancel(scene=event.scene), timeout_s=5)
            told.append(event.reason)

    assert pay(site, HER, PAYER, "4.00", on_event=cancel).register == "approved"
    assert told == ["stored"]


def test_connection_that_enrolled_can_go_on_asking(site: Site) -> None:
    (_, mandate), (other, _) = papers_for(site, "payer-again"), papers_for(site, "other")
    with site.control() as core:
        for _ in range(2):
            with pytest.raises(TerminalError, match="another consent"):
                ask(core, Enrol(consent=other, mandate=mandate), timeout_s=5)
        assert ask(core, ListPeople(), timeout_s=5).total == 1


def test_cancel_at_the_terminal_declines(site: Site) -> None:
    def cancel(event: Event) -> None:
        if event.reason == "look":
            with site.control() as core:
                ask(core, Cancel(scene=event.scene), timeout_s=5)

    visit = pay(site, Stage(), PAYER, "1.00", on_event=cancel)
    assert (visit.reason, visit.register) == ("cancelled", "declined/cancelled")


def test_empty_scene_does_not_pay_and_a_second_payment_meanwhile_is_declined_as_busy(site: Site) -> None:
    second = []

    def ask_again(event: Event) -> None:
        if event.reason == "look":
            second.append(site.request("2.00", "EUR", PAYER))

    visit = pay(site, Stage(), PAYER, "1.00", on_event=ask_again)
    assert (visit.reason, visit.register) == ("no_face", "declined/no_face")
    site.wait_for("the second", lambda: site.state(second[0]) == ("declined", "busy"))


def test_camera_process_that_dies_ends_the_payment_in_a_refusal(site: Site) -> None:
    def kill_camera(event: Event) -> None:
        if event.reason == "look":
            os.kill(site.pid("camera"), signal.SIGKILL)

    visit = pay(site, Stage(), PAYER, "1.00", on_event=kill_camera)
    assert (visit.reason, visit.register) == ("camera_lost", "declined/camera_lost")
    site.wait_for("the camera", lambda: site.up()["camera"])


def test_list_of_people_is_metadata_only(site: Site) -> None:
    with site.control() as core:
        page = ask(core, ListPeople(), timeout_s=5)
    assert page.total == 1
    assert msgspec.to_builtins(page.people[0]).keys() == {
        "type", "person", "purposes", "enrolled_at", "retain_until", "payer", "tries", "asked", "disputes", "pin",
    }  # fmt: skip


def test_broker_absent_is_a_refusal_told_later_and_everything_recovers(site: Site) -> None:
    def kill_broker(event: Event) -> None:
        if event.reason == "look":
            site.broker.kill()
            site.wait_for("the link to notice", lambda: not site.up()["link"])
            site.show(HER)
        elif event.stage == "outcome":
            site.broker.start()

    visit = pay(site, Stage(), PAYER, "1.00", on_event=kill_broker)
    assert visit.reason == "offline"
    site.wait_for("the link", lambda: site.up()["link"] and site.backend_ready())
    site.wait_for("the refusal", lambda: site.state(visit.intent) == ("declined", "offline"))
    assert ending(site, HER) == ("approved", "approved")


def test_backend_that_never_answers_is_unknown_and_the_payment_is_not_lost(site: Site) -> None:
    def kill_backend(event: Event) -> None:
        if event.reason == "look":
            site.kill_backend()
        elif event.stage == "outcome":
            site.start_backend()

    visit = pay(site, HER, PAYER, "7.30", on_event=kill_backend)
    assert visit.reason == "no_receipt"
    assert "do not retry" in visit.text.lower()
    site.wait_for("the register", lambda: site.state(visit.intent)[0] == "approved", 15)


def test_no_replayed_beacon_and_no_older_key_set_is_believed_and_a_revoked_key_asks_for_nothing(site: Site) -> None:
    """Who holds a worker's certificate can publish to the terminal, and keeps whatever backend and root ever signed."""
    authority = site.authority
    assert authority is not None
    backend, root = (load_backend_key(site.folder / name) for name in ("backend.key", "root.key"))
    ours, other = backend.public_key(), ec.generate_private_key(ec.SECP256R1()).public_key()

    def key_set(version: int, *keys: ec.EllipticCurvePublicKey) -> bytes:
        return sign_key_set(root, keys, version=version, now=int(time.time()))

    second, revoking, third = key_set(2, ours), key_set(3, other), key_set(4, ours)
    with contextlib.closing(Wire(site.broker, authority, BACKENDS[-1])) as impostor, site.control(None) as core:
        ask(core, Subscribe(), timeout_s=5)

        def refused(kind: Literal["beacon", "key-set"], envelope: bytes) -> str:
            impostor.say(topic(TERMINAL, kind), envelope, retain=kind == "key-set")
            return notice(core)

        old = Beacon(terminal=TERMINAL, nonce=bytes(32), time=EARLIEST, counter=0, allowance=nothing(EARLIEST))
        beacon = schema.sign(old, signer(backend), key_id(ours))
        assert refused("beacon", beacon) == "time"
        impostor.say(topic(TERMINAL, "key-set"), second, retain=True)
        assert refused("key-set", (site.folder / "key-set.cose").read_bytes()) == "key_set"
        os.kill(site.pid("core"), signal.SIGKILL)
    site.wait_for("the terminal", lambda: all(site.up().values()))
    with contextlib.closing(Wire(site.broker, authority, BACKENDS[-1])) as impostor, site.control(None) as core:
        ask(core, Subscribe(), timeout_s=5)
        assert refused("key-set", (site.folder / "key-set.cose").read_bytes()) == "key_set", "after a restart too"
        impostor.say(topic(TERMINAL, "key-set"), revoking, retain=True)
        site.request("1.00", "EUR", PAYER)
        assert notice(core) == "unknown_key"
        impostor.say(topic(TERMINAL, "key-set"), third, retain=True)
    assert ending(site, HER) == ("approved", "approved")


def notice(core: Connection[FromCore]) -> str:
    """The code of the next thing the terminal refused."""
    while True:
        event = core.receive(10.0)
        assert event is not None, "nothing was refused"
        if isinstance(event, Event) and event.stage == "notice":
            return event.reason
