"""Whose word counts, and what time it is: what the impostor at the broker can do to a terminal's keys and its clock.

The backend process answers over mosquitto; the terminal has what `core` has for it: its pinned root, the newest key set
on the disk, one question for the time that is out, the outbox with its floor. Only the seconds that pass are scripted.
"""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from firmware.payment import cose, schema
from firmware.payment.beacon import ANSWER_S, Beacons
from firmware.payment.clock import TrustedClock
from firmware.payment.errors import PaymentError
from firmware.payment.keyset import BackendKeys
from firmware.payment.messages import Beacon, BeaconRequest, Cancellation, Environment, KeySet
from firmware.payment.trust import key_id, load_trust
from hil.backend.keys import load_backend_key, signer, spki
from hil.rig.brokers import BACKENDS
from tests.attacks.site import Site, Terminal, Wire, difference

OTHER_KEY = ec.generate_private_key(ec.SECP256R1())


def now() -> int:
    return int(time.time())


class Mind:
    """What a terminal believes: keys and time. `seconds`: of the clock that nobody sets."""

    def __init__(self, till: Terminal, folder: Path) -> None:
        self.till, self.seconds = till, 0.0
        site = till.site.folder
        self.clock = TrustedClock(till.device.outbox, self.elapsed)
        self.root = load_trust(site / "root.json")
        self.keys = BackendKeys(self.root, "demo", site / "key-set.cose", folder / "kept.cose", self.clock)
        self.beacons = Beacons(till.name, self.keys, self.elapsed)

    def elapsed(self) -> float:
        return self.seconds

    def asks(self) -> bytes:
        """A question, and the backend's answer."""
        nonce = os.urandom(32)
        self.beacons.ask(nonce)
        self.till.wire.say(self.till.topic("beacon-request"), self.request(nonce))
        return self.till.wire.hear("beacon")

    def request(self, nonce: bytes, name: str = "") -> bytes:
        message = BeaconRequest(terminal=name or self.till.name, nonce=nonce, counter=0, waiting=0)
        return schema.sign(message, self.till.device.element.sign, self.till.device.kid)

    def takes(self, envelope: bytes) -> None:
        outbox = self.till.device.outbox
        beacon = self.beacons.check(envelope, outbox.time_floor)
        outbox.heard(beacon)
        self.beacons.take(beacon, self.clock)

    def refuses(self, envelope: bytes, code: str) -> None:
        with pytest.raises(PaymentError) as caught:
            self.takes(envelope)
        assert caught.value.code == code

    def refuses_keys(self, envelope: bytes, code: str) -> None:
        before = self.keys.version
        with pytest.raises(PaymentError) as caught:
            self.keys.take(envelope)
        assert (caught.value.code, self.keys.version) == (code, before)


@pytest.fixture
def mind(till: Terminal, tmp_path: Path) -> Mind:
    return Mind(till, tmp_path)


@pytest.fixture(scope="module")
def impostor(site: Site) -> Iterator[Wire]:
    """Somebody with the certificate of a worker that does not run, and without the backend's key."""
    wire = Wire(site.broker, site.authority, BACKENDS[-2])
    yield wire
    wire.close()


def brought(impostor: Wire, till: Terminal, kind: str, envelope: bytes) -> bytes:
    """What the impostor said to the terminal, once it has come there."""
    impostor.say(till.topic(kind), envelope)
    while (came := till.wire.hear(kind)) != envelope:
        pass
    return came


# -- the time ----------------------------------------------------------------------------------------------------------


def test_a_replayed_beacon_is_no_time(mind: Mind, till: Terminal, impostor: Wire) -> None:
    answer = mind.asks()
    mind.takes(answer)
    first = mind.clock.now()
    assert abs(first - now()) <= 2
    mind.seconds += 1000
    mind.refuses(brought(impostor, till, "beacon", answer), "time")
    mind.beacons.ask(os.urandom(32))
    mind.refuses(brought(impostor, till, "beacon", answer), "time")
    assert mind.clock.now() == first + 1000


def test_a_beacon_held_back_is_no_time(mind: Mind) -> None:
    answer = mind.asks()
    mind.seconds += ANSWER_S + 0.1
    mind.refuses(answer, "time")
    assert not mind.clock.known


def test_another_terminals_beacon_is_no_time(mind: Mind, till: Terminal, impostor: Wire, tmp_path: Path) -> None:
    other = till.site.terminal()
    (tmp_path / "other").mkdir()
    foreign = Mind(other, tmp_path / "other").asks()
    mind.beacons.ask(os.urandom(32))
    mind.refuses(brought(impostor, till, "beacon", foreign), "time")
    other.close()


@pytest.mark.parametrize(("field", "lie"), [("nonce", bytes(32)), ("terminal", "till-x"), ("time", 1_600_000_000)])
def test_a_beacon_with_another_nonce_terminal_or_a_time_below_the_floor(mind: Mind, field: str, lie: object) -> None:
    mind.till.opened()  # a time the backend signed: the floor
    honest = schema.decode(cose.peek(mind.asks()), Beacon)
    mind.refuses(mind.till.site.sealed(msgspec.structs.replace(honest, **{field: lie})), "time")


def test_a_beacon_nobody_asked_for_or_by_another_key(mind: Mind, till: Terminal, impostor: Wire) -> None:
    answer = mind.asks()
    beacon = schema.decode(cose.peek(answer), Beacon)
    forged = schema.sign(beacon, signer(OTHER_KEY), till.site.kid)
    mind.refuses(brought(impostor, till, "beacon", forged), "bad_signature")
    mind.refuses(schema.sign(beacon, till.device.element.sign, till.device.kid), "unknown_key")
    mind.takes(answer)
    mind.refuses(till.site.sealed(msgspec.structs.replace(beacon, nonce=bytes(32), time=now() + 60)), "time")


def test_who_asks_in_another_terminals_name_is_told_nothing(mind: Mind, till: Terminal, site: Site) -> None:
    other = site.terminal()
    before = site.world()
    other.wire.say(other.topic("beacon-request"), mind.request(os.urandom(32)))
    other.wire.say(other.topic("beacon-request"), mind.request(os.urandom(32), other.name))
    other.wire.say(other.topic("beacon-request"), b"\xd2" * 100)
    assert till.code(till.authorized()) == "approved", "what came before it is done with"
    assert "beacon" not in {topic.rpartition("/")[2] for topic, _ in list(other.wire.came.queue)}
    assert all(other.name not in row for rows in difference(before, site.world()).values() for row in rows)
    other.close()


# -- keys --------------------------------------------------------------------------------------------------------------


def key_set(
    site: Site,
    version: int,
    root: ec.EllipticCurvePrivateKey | None = None,
    *,
    revoked: bool = False,
    environment: Environment = "demo",
    begins_s: int = 0,
    life_s: int = 3600,
) -> bytes:
    """A set of this version by the site's root; where the backend's key is `revoked`, of another key."""
    by = root or load_backend_key(site.folder / "root.key")
    keys = (spki((OTHER_KEY if revoked else site.key).public_key()),)
    begins = now() + begins_s
    made = KeySet(version=version, issued_at=begins, expires_at=begins + life_s, environment=environment, keys=keys)
    return schema.sign(made, signer(by), key_id(by.public_key()))


def test_the_broker_keeps_the_key_set_and_poisoning_it_changes_nothing(
    mind: Mind, till: Terminal, impostor: Wire, site: Site
) -> None:
    genuine = till.wire.hear("key-set")
    assert genuine == (site.folder / "key-set.cose").read_bytes()
    assert not mind.keys.take(genuine)
    for poison, code in (
        (key_set(site, 9, OTHER_KEY), "unknown_key"), (b"\xd2poison", "malformed"), (genuine[:-1], "malformed"),
        (site.sealed(schema.decode(cose.peek(genuine), KeySet)), "unknown_key"),
    ):  # fmt: skip
        impostor.say(till.topic("key-set"), poison, retain=True)
        later = Wire(site.broker, site.authority, till.name, till.topic("key-set"))
        mind.refuses_keys(later.hear("key-set"), code)
        later.close()
    impostor.say(till.topic("key-set"), genuine, retain=True)


def test_a_key_set_of_before_is_not_taken_again(mind: Mind, till: Terminal, impostor: Wire, tmp_path: Path) -> None:
    old, new = key_set(till.site, 2), key_set(till.site, 3)
    assert mind.keys.take(brought(impostor, till, "key-set", new))
    mind.refuses_keys(brought(impostor, till, "key-set", old), "key_set")
    mind.refuses_keys(brought(impostor, till, "key-set", key_set(till.site, 3, life_s=7200)), "key_set")
    again = Mind(till, tmp_path)
    assert again.keys.version == 3
    again.refuses_keys(old, "key_set")


@pytest.mark.parametrize(
    "changes",
    [{"environment": "production"}, {"life_s": 0}, {"begins_s": -7200}, {"begins_s": 3600}],
    ids=["production", "ends as it begins", "ended", "from the future"],
)
def test_a_key_set_for_another_environment_or_time(mind: Mind, changes: dict[str, object]) -> None:
    mind.takes(mind.asks())
    mind.refuses_keys(key_set(mind.till.site, 7, **changes), "key_set")  # type: ignore[arg-type]


def test_intents_receipts_beacons_and_cancellations_by_a_revoked_key_are_nobodys(mind: Mind, till: Terminal) -> None:
    receipt, (_, intent), answer = till.send(till.authorized())[1], till.ask(), mind.asks()
    assert mind.keys.take(key_set(till.site, 2, revoked=True))
    mind.refuses(answer, "unknown_key")
    with pytest.raises(PaymentError, match="unknown_key"):
        till.device.outbox.settle(receipt, mind.keys, till.name)
    assert till.device.outbox.waiting() == 1
    made = Cancellation(intent=bytes(16), intent_hash=bytes(32), terminal=till.name, issued_at=now())
    for envelope in (intent, till.site.sealed(made)):
        with pytest.raises(PaymentError, match="unknown_key"):
            cose.verify(envelope, mind.keys.resolve, cose.peek_type(envelope))
    assert till.device.outbox.settle(receipt, till.site.trust, till.name).outcome == "approved"


def test_when_the_key_set_has_ended_nobody_is_believed(mind: Mind, till: Terminal) -> None:
    mind.takes(mind.asks())
    assert mind.keys.take(key_set(till.site, 2, life_s=600))
    _, intent = till.ask()
    mind.seconds += 700
    with pytest.raises(PaymentError, match="key_set"):
        cose.verify(intent, mind.keys.resolve, cose.peek_type(intent))
