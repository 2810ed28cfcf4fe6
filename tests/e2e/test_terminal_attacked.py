"""A whole terminal whose broker lies to it: whatever is said in the backend's place, it shows and keeps the truth.

What `tests/attacks` hands to single parts of a terminal comes here to its running processes, over mosquitto with its
access list and mutual TLS (`tests/e2e/attacked.py`). After every attack somebody pays, and is approved.
"""

import contextlib
import hashlib
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from firmware.core.parts import KEY_SET
from firmware.link.topics import INBOUND
from firmware.payment import cose, schema
from firmware.payment.messages import (
    NO_ID,
    Authorization,
    Beacon,
    Cancellation,
    CertificateGrant,
    Intent,
    KeySet,
    Receipt,
)
from firmware.runtime.messages import MAX_ENVELOPE_BYTES, Inbound
from hil.backend.keys import load_backend_key, sign_key_set
from hil.rig.customer import Visit
from hil.rig.site import TERMINAL
from tests.e2e.attacked import FIRST_KEYS, RETIRED, STRANGER, Attacked, next_event, restated, signed, standing


@pytest.fixture(scope="module")
def standing_till(
    tmp_path_factory: pytest.TempPathFactory, models_dir: Path, mosquitto_installed: None
) -> Iterator[Attacked]:
    with standing(tmp_path_factory.mktemp("site")) as till:
        yield till


@pytest.fixture
def till(standing_till: Attacked) -> Iterator[Attacked]:
    """The terminal; after the attack whoever pays is served, once."""
    yield standing_till
    paid(standing_till, standing_till.pays())


def paid(till: Attacked, visit: Visit) -> None:
    """See that screen and register say so, and that one authorization was signed."""
    assert (visit.reason, visit.register) == ("approved", "approved")
    assert len(till.tap.distinct("authorization")[visit.intent]) == 1


def now() -> int:
    return int(time.time())


# -- receipts ----------------------------------------------------------------------------------------------------------


def approving(authorization: bytes) -> Receipt:
    """What the backend is about to say to it."""
    intent, digest = read(authorization, Authorization).intent, hashlib.sha256(authorization).digest()
    return Receipt(digest=digest, intent=intent, terminal=TERMINAL, outcome="approved", code="", issued_at=now())


def read(envelope: bytes, kind: type[schema.M]) -> schema.M:
    return schema.decode(cose.peek(envelope), kind)


def test_a_receipt_that_the_backend_did_not_sign_approves_nothing(till: Attacked) -> None:
    """It comes before the true one, which is held back."""

    def attack(authorization: bytes) -> None:
        approval = approving(authorization)
        till.refuses("receipt", till.by_no_key_that_counts(approval))
        till.refuses("receipt", till.by_no_key_that_counts(replace(approval, outcome="rejected", code="amount")))

    paid(till, till.pays_while_held(attack))


def test_a_receipt_of_an_earlier_payment_approves_nothing(till: Attacked) -> None:
    earlier = till.passed("receipt")[-1]

    def attack(authorization: bytes) -> None:
        approval = approving(authorization)
        till.refuses(
            "receipt",
            {"again": (earlier, ""), "changed": restated(earlier, digest=approval.digest, intent=approval.intent)},
        )

    paid(till, till.pays_while_held(attack))


def test_a_receipt_for_other_bytes_intent_or_terminal_or_of_another_outcome_approves_nothing(till: Attacked) -> None:
    def attack(authorization: bytes) -> None:
        approval = approving(authorization)
        others = {
            "other bytes": replace(approval, digest=bytes(32)),
            "another intent": replace(approval, intent=bytes([1]) * 16),
            "another terminal": replace(approval, terminal="till-2"),
            "an answer to a decline": replace(approval, outcome="declined"),
            "approved, with a code": replace(approval, code="amount"),
            "rejected, without a code": replace(approval, outcome="rejected"),
            "rejected, with a code that is not known": replace(approval, outcome="rejected", code="no_such_code"),
            "rejected, as another worker may see otherwise": replace(
                approval, outcome="rejected", code="unknown_key", intent=NO_ID
            ),
        }
        till.refuses("receipt", {name: (till.sealed(other), "receipt") for name, other in others.items()})

    paid(till, till.pays_while_held(attack))


def test_where_the_true_receipt_is_held_back_a_forged_one_leaves_it_unknown(till: Attacked) -> None:
    """The screen says not to retry, the authorization is still owed, and the truth settles it."""
    visit = till.pays_while_held(
        lambda authorization: till.refuses("receipt", till.by_no_key_that_counts(approving(authorization))), "outcome"
    )
    assert visit.reason == "no_receipt"
    assert "do not retry" in visit.text.lower()
    assert till.site.state(visit.intent) == ("approved", "")


def test_a_settled_payment_is_not_unsettled_by_another_receipt(till: Attacked) -> None:
    paid(till, till.pays())
    settled = read(till.came("receipt"), Receipt)
    other = replace(settled, outcome="rejected", code="amount")
    till.refuses("receipt", {"signed": (till.sealed(other), "receipt"), **till.by_no_key_that_counts(other)})


# -- intents -----------------------------------------------------------------------------------------------------------


def test_an_intent_that_the_backend_did_not_sign_asks_nobody(till: Attacked) -> None:
    intent = replace(read(till.passed("intent")[-1], Intent), id=bytes(16), issued_at=now(), expires_at=now() + 60)
    till.refuses("intent", till.by_no_key_that_counts(intent))


def test_an_intent_that_was_changed_on_the_way_asks_nobody(till: Attacked) -> None:
    genuine = till.passed("intent")[-1]
    till.refuses(
        "intent",
        {
            "amount": restated(genuine, amount_minor=1),
            "payer": restated(genuine, payer="payer-bob"),
            "merchant": restated(genuine, merchant="THIEF"),
            "id": restated(genuine, id=bytes(16)),
        },
    )


def test_an_intent_for_another_terminal_merchant_or_time_asks_nobody(till: Attacked) -> None:
    fresh = replace(read(till.passed("intent")[-1], Intent), id=bytes(16), issued_at=now(), expires_at=now() + 60)
    others = {
        "intent_other_terminal": replace(fresh, terminal="till-2"),
        "merchant": replace(fresh, merchant="THIEF"),
        "currency": replace(fresh, exponent=0),
        "ttl": replace(fresh, expires_at=fresh.issued_at + 301),
        "expired": replace(fresh, issued_at=now() - 200, expires_at=now() - 100),
        "future": replace(fresh, issued_at=now() + 3600, expires_at=now() + 3660),
    }
    till.refuses("intent", {code: (till.sealed(other), code) for code, other in others.items()})


def test_an_intent_replayed_while_it_is_served_and_after_is_served_once(till: Attacked) -> None:
    paid(till, till.pays_before_the_tap(lambda: till.refuses("intent", {"served": (till.came("intent"), "")})))
    till.refuses("intent", {"paid": (till.came("intent"), "")})


# -- cancellations -----------------------------------------------------------------------------------------------------


def recalling(intent: bytes) -> Cancellation:
    digest = hashlib.sha256(intent).digest()
    return Cancellation(intent=read(intent, Intent).id, intent_hash=digest, terminal=TERMINAL, issued_at=now())


def test_a_cancellation_that_the_backend_did_not_sign_takes_nothing_back(till: Attacked) -> None:
    def attack() -> None:
        till.refuses("cancellation", till.by_no_key_that_counts(recalling(till.came("intent"))))

    paid(till, till.pays_before_the_tap(attack))


def test_a_cancellation_for_another_intent_or_terminal_takes_nothing_back(till: Attacked) -> None:
    earlier = till.sealed(recalling(till.passed("intent")[-1]))

    def attack() -> None:
        recall = recalling(till.came("intent"))
        till.refuses(
            "cancellation",
            {
                "an earlier intent's": (earlier, ""),
                "that one's, changed": restated(earlier, intent=recall.intent, intent_hash=recall.intent_hash),
                "other bytes": (till.sealed(replace(recall, intent_hash=bytes(32))), ""),
                "another terminal": (till.sealed(replace(recall, terminal="till-2")), "terminal_mismatch"),
            },
        )

    paid(till, till.pays_before_the_tap(attack))
    taken_back = till.pays_before_the_tap(lambda: till.say("cancellation", till.sealed(recalling(till.came("intent")))))
    assert taken_back.reason == "cancelled_by_register", "and one for these very bytes is heard"


# -- keys, time, certificates ------------------------------------------------------------------------------------------


def test_a_key_set_of_before_or_of_another_root_is_not_taken(till: Attacked) -> None:
    folder = till.site.folder
    genuine, root = (folder / "key-set.cose").read_bytes(), load_backend_key(folder / "root.key")
    newer = replace(read(genuine, KeySet), version=3)
    again = sign_key_set(root, [RETIRED.public_key()], version=2, now=now())
    till.refuses(
        "key-set",
        {
            "of before": ((folder / FIRST_KEYS).read_bytes(), "key_set"),
            "other keys in the same version": (again, "key_set"),
            "newer, by a foreign root": (signed(newer, STRANGER), "unknown_key"),
            "newer, in the root's name": (signed(newer, STRANGER, root), "bad_signature"),
            "newer, by the backend's key": (till.sealed(newer), "unknown_key"),
            "newer, under an older signature": restated(genuine, version=3),
        },
    )
    assert (Path(till.site.config.state_dir) / KEY_SET).read_bytes() == genuine
    revoked = signed(read(till.passed("intent")[-1], Intent), RETIRED)
    till.refuses("intent", {"a key that is revoked stays so": (revoked, "unknown_key")})


def test_what_the_broker_was_made_to_keep_is_not_taken_by_a_link_that_comes_anew(till: Attacked) -> None:
    site, link = till.site, till.site.pid("link")
    genuine = (site.folder / "key-set.cose").read_bytes()
    foreign = signed(replace(read(genuine, KeySet), version=9), STRANGER)
    with contextlib.ExitStack() as poisoned:
        poisoned.callback(till.say, "key-set", genuine, retain=True)
        poisoned.callback(till.say, "intent", b"", retain=True)
        assert till.told("key-set", foreign, retain=True) == ["unknown_key"]
        assert till.told("intent", till.passed("intent")[-1], retain=True) == []
        left, beacons = till.logged("dropped a message: kept by the broker"), len(till.passed("beacon"))
        with till.screen() as core:
            os.kill(link, signal.SIGKILL)
            while (told := next_event(core)).reason != "unknown_key":
                assert told.stage == "notice"
        site.wait_for("the link", lambda: till.logged("dropped a message: kept by the broker") > left)
        site.wait_for("the time, asked for anew", lambda: len(till.passed("beacon")) > beacons)
    assert (Path(site.config.state_dir) / KEY_SET).read_bytes() == genuine


def test_a_beacon_replayed_or_that_the_backend_did_not_sign_is_no_time(till: Attacked) -> None:
    genuine = till.passed("beacon")[-1]
    beacon = read(genuine, Beacon)
    till.refuses(
        "beacon",
        {
            "again": (genuine, "time"),
            "unasked": (till.sealed(replace(beacon, nonce=bytes(32), time=now() + 3600)), "time"),
            "another terminal's": (till.sealed(replace(beacon, terminal="till-2")), "time"),
            "changed": restated(genuine, time=beacon.time + 3600),
            **till.by_no_key_that_counts(replace(beacon, time=beacon.time + 3600)),
        },
    )


def grant() -> CertificateGrant:
    return CertificateGrant(terminal=TERMINAL, request=bytes(32), certificate=bytes(64))


def test_a_certificate_unasked_or_that_the_backend_did_not_sign_is_not_installed(till: Attacked) -> None:
    till.refuses(
        "certificate",
        {
            "unasked": (till.sealed(grant()), "trust"),
            "another terminal's": (till.sealed(replace(grant(), terminal="till-2")), "terminal_mismatch"),
            **till.by_no_key_that_counts(grant()),
        },
    )


# -- rough bytes -------------------------------------------------------------------------------------------------------


def genuine(till: Attacked, kind: Inbound) -> bytes:
    """An envelope of this kind by the backend."""
    if kind == "cancellation":
        return till.sealed(recalling(till.passed("intent")[-1]))
    return till.sealed(grant()) if kind == "certificate" else till.passed(kind)[-1]


@pytest.mark.parametrize("kind", INBOUND)
def test_truncated_trailing_oversize_bytes_and_another_type_are_malformed(till: Attacked, kind: Inbound) -> None:
    envelope, other = genuine(till, kind), genuine(till, INBOUND[INBOUND.index(kind) - 1])
    till.refuses(
        kind,
        {
            "cut": (envelope[:-1], "malformed"),
            "half": (envelope[: len(envelope) // 2], "malformed"),
            "a byte behind": (envelope + b"\0", "malformed"),
            "twice": (envelope * 2, "malformed"),
            "as large as may be": (envelope.ljust(MAX_ENVELOPE_BYTES, b"\0"), "malformed"),
            "another type": (other, "malformed"),
        },
    )
    dropped = till.logged("dropped a message: too large to take")
    till.refuses(kind, {"oversize": (envelope.ljust(MAX_ENVELOPE_BYTES + 1, b"\0"), "")})
    assert till.logged("dropped a message: too large to take") == dropped + 1
