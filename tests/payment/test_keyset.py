"""Attacks on which keys are the backend's: rollback, an ended set, another environment, a revoked key, another root."""

import stat
from functools import partial
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware.payment import schema
from firmware.payment.clock import MAX_SKEW_S
from firmware.payment.errors import PaymentError
from firmware.payment.intent import read_intent
from firmware.payment.messages import Environment, Intent, KeySet, Receipt
from firmware.payment.receipt import verify_receipt
from firmware.payment.trust import key_id
from firmware.runtime.config import load_profile
from hil.backend.keys import create_root, signer
from tests.payment.rooted import DAY_S, T0, Rooted


@pytest.fixture
def rooted(tmp_path: Path) -> Rooted:
    return Rooted(tmp_path)


def test_a_key_that_is_left_out_is_revoked_at_once(rooted: Rooted) -> None:
    assert rooted.taken(rooted.set_of(2, rooted.key, rooted.other)) == ""
    assert (rooted.believes(rooted.key), rooted.believes(rooted.other)) == ("", "")
    assert rooted.taken(rooted.set_of(3, rooted.other)) == ""
    assert (rooted.believes(rooted.key), rooted.believes(rooted.other)) == ("unknown_key", "")


def test_a_receipt_by_a_revoked_key_approves_nothing(rooted: Rooted) -> None:
    receipt = Receipt(digest=bytes(32), intent=bytes(16), terminal="till-1", outcome="approved", code="", issued_at=T0)
    envelope = schema.sign(receipt, signer(rooted.key), key_id(rooted.key.public_key()))
    assert verify_receipt(envelope, rooted.keys, "till-1") == receipt
    rooted.taken(rooted.set_of(2, rooted.other))
    with pytest.raises(PaymentError, match="unknown_key"):
        verify_receipt(envelope, rooted.keys, "till-1")


def test_an_intent_by_a_revoked_key_asks_for_nothing(rooted: Rooted) -> None:
    intent = Intent(
        id=bytes(16), issued_at=T0, expires_at=T0 + 60, terminal="till-1", merchant="SHOP", amount_minor=100,
        currency="EUR", exponent=2, challenge=bytes(32), assurance="geometry", payer="payer-7", counter=0,
    )  # fmt: skip
    envelope = schema.sign(intent, signer(rooted.key), key_id(rooted.key.public_key()))
    read = partial(read_intent, envelope, rooted.keys, terminal="till-1", merchant="SHOP", profile=load_profile("demo"))
    assert read().intent == intent
    rooted.taken(rooted.set_of(2, rooted.other))
    with pytest.raises(PaymentError, match="unknown_key"):
        read()


@pytest.mark.parametrize("restarted", [False, True])
def test_an_older_set_brings_no_revoked_key_back(rooted: Rooted, restarted: bool) -> None:
    assert rooted.taken(rooted.set_of(3, rooted.other)) == ""
    if restarted:
        rooted.start()
    assert rooted.taken(rooted.set_of(2, rooted.key)) == "key_set"
    assert rooted.taken(rooted.set_of(1)) == "key_set"
    assert (rooted.believes(rooted.key), rooted.believes(rooted.other)) == ("unknown_key", "")
    assert rooted.keys.version == 3


def test_of_two_sets_of_one_version_the_first_stays(rooted: Rooted) -> None:
    assert rooted.taken(rooted.set_of(2, rooted.key)) == ""
    assert rooted.taken(rooted.set_of(2, rooted.other)) == "key_set"
    assert rooted.believes(rooted.other) == "unknown_key"


def test_the_set_in_hand_delivered_again_changes_nothing(rooted: Rooted) -> None:
    """The broker hands a retained message out at every connection."""
    envelope = rooted.set_of(2)
    assert rooted.keys.take(envelope)
    assert not rooted.keys.take(envelope)


def test_a_set_that_has_ended_is_not_taken_and_the_one_in_hand_ends(rooted: Rooted) -> None:
    rooted.clock.set(T0 + 91 * DAY_S, rooted.elapsed)
    assert rooted.taken(rooted.set_of(2, rooted.other)) == "key_set"
    assert rooted.believes(rooted.key) == "key_set", "without a set in force nothing is believed"
    assert rooted.taken(rooted.set_of(3, now=T0 + 90 * DAY_S)) == ""
    assert rooted.believes(rooted.key) == ""


def test_what_has_ended_stays_so_over_a_restart_that_loses_the_time(rooted: Rooted) -> None:
    rooted.time_floor = T0 + 90 * DAY_S
    rooted.start()
    assert not rooted.clock.known
    assert rooted.believes(rooted.key) == "key_set"


def test_a_set_from_the_future_is_not_taken(rooted: Rooted) -> None:
    rooted.clock.set(T0 - 1, rooted.elapsed)
    assert rooted.taken(rooted.set_of(2, rooted.other, now=T0 + MAX_SKEW_S + 1)) == "key_set"
    assert rooted.taken(rooted.set_of(2, rooted.other, now=T0 + MAX_SKEW_S)) == ""


def test_a_set_that_lives_for_no_time_is_not_taken(rooted: Rooted) -> None:
    assert rooted.taken(rooted.set_of(2, now=T0 + 10, life_s=-5)) == "key_set"


def test_another_root_signs_nothing_for_this_terminal(rooted: Rooted, tmp_path: Path) -> None:
    another = create_root(tmp_path / "another.key", tmp_path / "another.json")
    assert rooted.taken(rooted.set_of(2, rooted.other, root=another)) == "unknown_key"


def test_the_backends_own_key_signs_no_set(rooted: Rooted) -> None:
    """A stolen signing key must not prolong itself."""
    envelope = schema.sign(_set(rooted), signer(rooted.key), key_id(rooted.key.public_key()))
    assert rooted.taken(envelope) == "unknown_key"


def test_production_takes_no_set_for_the_demonstration(tmp_path: Path) -> None:
    rooted = Rooted(tmp_path, "production")
    assert rooted.believes(rooted.key) == ""
    demo = schema.sign(_set(rooted, "demo"), signer(rooted.root), key_id(rooted.root.public_key()))
    assert rooted.taken(demo) == "key_set"


def test_the_demonstration_takes_no_set_for_production(rooted: Rooted) -> None:
    real = schema.sign(_set(rooted, "production"), signer(rooted.root), key_id(rooted.root.public_key()))
    assert rooted.taken(real) == "key_set"


def test_production_believes_no_root_of_the_demonstration(tmp_path: Path) -> None:
    """Even one that was pinned by mistake and claims production in its sets."""
    demo = Rooted(tmp_path)
    demo.environment = "production"
    claims = schema.sign(_set(demo, "production"), signer(demo.root), key_id(demo.root.public_key()))
    (tmp_path / "first.cose").write_bytes(claims)
    with pytest.raises(PaymentError, match="is not for production"):
        demo.start()


def test_the_newest_is_kept_for_its_owner_only_and_counts_after_a_restart(rooted: Rooted) -> None:
    rooted.taken(rooted.set_of(4, rooted.other))
    assert stat.S_IMODE((rooted.folder / "kept.cose").stat().st_mode) == 0o600
    rooted.start()
    assert rooted.keys.version == 4
    (rooted.folder / "first.cose").write_bytes(rooted.set_of(5, rooted.key))
    rooted.start()
    assert (rooted.keys.version, rooted.believes(rooted.key)) == (5, ""), "a newer one was put there by hand"


def test_a_set_that_cannot_be_kept_does_not_count(rooted: Rooted, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("drivers.secure_element.files.os.fsync", full)
    assert rooted.taken(rooted.set_of(2, rooted.other)) == "storage"
    assert (rooted.keys.version, rooted.believes(rooted.key)) == (1, "")


@pytest.mark.parametrize(("file", "advice"), [("first.cose", "newest there"), ("kept.cose", "another root, remove it")])
def test_a_damaged_file_is_refused_at_the_start_with_what_to_do(rooted: Rooted, file: str, advice: str) -> None:
    (rooted.folder / file).write_bytes(rooted.set_of(2)[:-1] + b"\0\0")
    with pytest.raises(PaymentError, match=advice):
        rooted.start()


def test_a_missing_first_file_is_refused_at_the_start(rooted: Rooted) -> None:
    (rooted.folder / "first.cose").unlink()
    with pytest.raises(PaymentError, match="cannot be read"):
        rooted.start()


def test_a_key_of_another_curve_is_no_key(rooted: Rooted) -> None:
    short = ec.generate_private_key(ec.SECP256K1())
    with pytest.raises(PaymentError):
        rooted.set_of(2, short)


@settings(max_examples=50)
@given(flips=st.lists(st.tuples(st.integers(0, 399), st.integers(0, 7)), min_size=1, max_size=4))
def test_altered_bytes_never_count(tmp_path_factory: pytest.TempPathFactory, flips: list[tuple[int, int]]) -> None:
    rooted = Rooted(tmp_path_factory.mktemp("rooted"))
    envelope = rooted.set_of(2)
    altered = bytearray(envelope)
    for at, bit in flips:
        altered[at % len(altered)] ^= 1 << bit
    if bytes(altered) != envelope:
        assert rooted.taken(bytes(altered)) != ""
        assert rooted.keys.version == 1


def _set(rooted: Rooted, environment: Environment = "demo") -> KeySet:
    spki = rooted.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return KeySet(version=2, issued_at=T0, expires_at=T0 + DAY_S, environment=environment, keys=(spki,))


@settings(max_examples=50)
@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("set"), st.integers(1, 6), st.integers(0, 3)),
            st.tuples(st.just("wait"), st.integers(0, 60), st.just(0)),
            st.tuples(st.just("restart"), st.just(0), st.just(0)),
        ),
        max_size=25,
    )
)
def test_whatever_sets_come_in_whatever_order_versions_rise_and_only_the_last_ones_keys_count(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int, int]]
) -> None:
    """An attacker keeps every set the root ever signed; the third kind is by another key, the fourth for production."""
    rooted = Rooted(tmp_path_factory.mktemp("rooted"))
    keys, version, now = (rooted.key, rooted.other), 1, T0
    in_force, ends = rooted.key, T0 + 90 * DAY_S
    for what, value, kind in steps:
        if what == "wait":
            now += value * DAY_S
            rooted.time_floor = now
        elif what == "restart":
            rooted.start()
        elif kind < 2:
            issued = T0 + value * 10 * DAY_S
            taken = rooted.taken(rooted.set_of(value, keys[kind], now=issued)) == ""
            if taken and value > version:
                version, in_force, ends = value, keys[kind], issued + 90 * DAY_S
            assert taken or value <= version or now >= issued + 90 * DAY_S
        else:
            by, environment = ((rooted.other, "demo"), (rooted.root, "production"))[kind - 2]
            foreign = msgspec.structs.replace(_set(rooted), version=value, environment=environment)
            assert rooted.taken(schema.sign(foreign, signer(by), key_id(by.public_key()))) != ""
        assert rooted.keys.version == version
        for key in keys:
            assert (rooted.believes(key) == "") is (key is in_force and now < ends)
