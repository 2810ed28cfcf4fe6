"""One intent, at most one envelope, never lost: crashes, full disks, damage, replays."""

import resource
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest

from drivers.secure_element.interface import SecureElementGoneError
from firmware.payment import schema
from firmware.payment.clock import MAX_SKEW_S, TrustedClock
from firmware.payment.counting import BATCH, HardwareCounter
from firmware.payment.errors import CODES, OutboxError, PaymentError
from firmware.payment.intent import read_intent
from firmware.payment.messages import NO_ID
from firmware.payment.money import Amount
from firmware.payment.outbox import OpenIntent, Outbox
from firmware.payment.outbox_file import FIRST_LAYOUT
from hil.backend.backend import INTENT_TTL_S, Backend
from hil.backend.keys import signer
from hil.backend.shop import START, Shop
from hil.backend.terminals import Terminals
from tests.payment.hardware import Hardware
from tests.payment.hearing import hears


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    shop = Shop(tmp_path)
    yield shop
    shop.close()


def refused(error: pytest.ExceptionInfo[PaymentError]) -> str:
    return error.value.code


def forged(shop: Shop, envelope: bytes, **changes: object) -> bytes:
    """The backend's honest receipt, changed, and signed with the backend's own key."""
    receipt = msgspec.structs.replace(shop.answer(envelope), **changes)
    return schema.sign(receipt, signer(shop.key), shop.kid)


def test_an_authorization_waits_until_its_receipt(shop: Shop) -> None:
    envelope = shop.authorized()
    head = shop.till.outbox.head()
    assert head is not None
    assert (head.kind, head.envelope, shop.till.outbox.waiting()) == ("authorization", envelope, 1)
    receipt = shop.backend.handle("till-1", envelope)
    settled = shop.till.outbox.settle(receipt, shop.trust, "till-1")
    assert (settled.outcome, settled.code, settled.intent) == ("approved", "", head.intent)
    assert shop.till.outbox.head() is None
    assert shop.till.outbox.settle(receipt, shop.trust, "till-1") == settled, "the same again gives the same"


def test_a_second_opening_or_answer_of_an_intent_is_refused(shop: Shop) -> None:
    accepted = shop.open()
    with pytest.raises(PaymentError) as error:
        shop.till.outbox.open_intent(accepted, shop.time)
    assert refused(error) == "intent_used"
    shop.till.authorize(accepted, shop.mandate, START)
    with pytest.raises(PaymentError) as error:
        shop.till.authorize(accepted, shop.mandate, START)
    assert refused(error) == "intent_used"
    with pytest.raises(PaymentError) as error:
        shop.till.decline(OpenIntent(accepted.intent.id, accepted.digest), "flat", START)
    assert refused(error) == "intent_used"


def test_a_declined_intent_can_never_be_authorized(shop: Shop) -> None:
    accepted = shop.open()
    shop.till.decline(OpenIntent(accepted.intent.id, accepted.digest), "flat", START)
    shop.restart_terminal()
    with pytest.raises(PaymentError) as error:
        shop.till.authorize(accepted, shop.mandate, START)
    assert refused(error) == "intent_used"


def test_the_tables_themselves_refuse_a_second_envelope_and_a_rewritten_one(shop: Shop, tmp_path: Path) -> None:
    accepted = shop.open()
    shop.till.authorize(accepted, shop.mandate, START)
    shop.till.outbox.close()
    database = sqlite3.connect(tmp_path / "till-1.db")
    with pytest.raises(sqlite3.IntegrityError, match=r"UNIQUE constraint failed: outbox\.intent"):
        database.execute(
            "INSERT INTO outbox (counter, kind, intent, envelope, digest, audit) "
            "VALUES (99, 'decline', ?, x'', ?, x'')",
            (accepted.intent.id, bytes(32)),
        )
    with pytest.raises(sqlite3.IntegrityError, match="written once"):
        database.execute("UPDATE outbox SET envelope = x'00'")
    with pytest.raises(sqlite3.IntegrityError, match="CHECK"):
        database.execute("UPDATE outbox SET outcome = 'declined', code = '', receipt = x''")
    database.close()
    shop.restart_terminal()


def test_an_unopened_intent_is_not_authorized(shop: Shop) -> None:
    accepted = shop.open()
    other = msgspec.structs.replace(accepted, intent=msgspec.structs.replace(accepted.intent, id=bytes(16)))
    with pytest.raises(PaymentError) as error:
        shop.till.authorize(other, shop.mandate, START)
    assert refused(error) == "unknown_intent"


def test_an_intent_open_at_a_crash_is_known_and_declined_as_interrupted(shop: Shop) -> None:
    accepted = shop.open()
    shop.restart_terminal()
    hears(shop)
    (left,) = shop.till.outbox.interrupted()
    assert (left.id, left.digest) == (accepted.intent.id, accepted.digest)
    decline = shop.till.decline(left, "interrupted", START)
    assert shop.code(decline) == "declined"
    assert shop.till.outbox.interrupted() == []
    assert shop.backend.state(left.id).code == "interrupted"


def test_a_signature_that_fails_leaves_nothing_behind(shop: Shop) -> None:
    accepted = shop.open()

    def fail(counter: int) -> bytes:
        raise PaymentError("evidence", f"at counter {counter}")

    with pytest.raises(PaymentError, match="at counter 1"):
        shop.till.outbox.authorize(accepted.intent.id, fail, b"")
    assert shop.till.outbox.waiting() == 0
    assert shop.till.read(shop.till.authorize(accepted, shop.mandate, START)).counter == 1


def test_envelopes_leave_in_order_and_counters_rise_over_restarts(shop: Shop) -> None:
    sent = []
    for _ in range(3):
        sent.append(shop.authorized())
        shop.restart_terminal()
    assert [shop.till.read(envelope).counter for envelope in sent] == [1, 2, 3]
    for envelope in sent:
        head = shop.till.outbox.head()
        assert head is not None
        assert head.envelope == envelope
        receipt = shop.backend.handle("till-1", envelope)
        assert shop.till.outbox.settle(receipt, shop.trust, "till-1").outcome == "approved"


@pytest.mark.parametrize(
    "changes",
    [
        {"digest": bytes(32)},
        {"intent": b"another intent.."},
        {"intent": bytes(16)},
        {"terminal": "till-2"},
        {"outcome": "declined"},
        {"outcome": "rejected"},
        {"outcome": "rejected", "code": "because"},
        {"code": "amount"},
    ],
)
def test_a_receipt_for_other_bytes_or_another_outcome_settles_nothing(shop: Shop, changes: dict[str, object]) -> None:
    receipt = forged(shop, shop.authorized(), **changes)
    with pytest.raises(PaymentError) as error:
        shop.till.outbox.settle(receipt, shop.trust, "till-1")
    assert refused(error) == "receipt"
    assert shop.till.outbox.waiting() == 1


def test_a_receipt_by_another_key_settles_nothing(shop: Shop) -> None:
    receipt = shop.answer(shop.authorized())
    own = schema.sign(receipt, shop.till.element.sign, shop.till.kid)
    pretended = schema.sign(receipt, shop.till.element.sign, shop.kid)
    for envelope, code in ((own, "unknown_key"), (pretended, "bad_signature")):
        with pytest.raises(PaymentError) as error:
            shop.till.outbox.settle(envelope, shop.trust, "till-1")
        assert refused(error) == code


def test_a_second_receipt_with_another_outcome_is_refused(shop: Shop) -> None:
    envelope = shop.authorized()
    other = forged(shop, envelope, outcome="rejected", code="amount")
    shop.till.outbox.settle(shop.backend.handle("till-1", envelope), shop.trust, "till-1")
    with pytest.raises(PaymentError) as error:
        shop.till.outbox.settle(other, shop.trust, "till-1")
    assert refused(error) == "receipt"


def test_a_refusal_that_leaves_no_trace_settles_once_what_it_refuses_has_ended(shop: Shop) -> None:
    yes = shop.authorized()
    accepted = shop.open()
    no = shop.till.decline(OpenIntent(accepted.intent.id, accepted.digest), "flat", shop.time)
    shop.register_again(revoked=True)
    shop.time += INTENT_TTL_S + MAX_SKEW_S - 1
    for envelope in (yes, no):
        receipt = shop.backend.handle("till-1", envelope)
        with pytest.raises(PaymentError) as error:
            shop.till.outbox.settle(receipt, shop.trust, "till-1")
        assert refused(error) == "receipt"
    shop.time += 1
    for envelope in (yes, no):
        settled = shop.till.outbox.settle(shop.backend.handle("till-1", envelope), shop.trust, "till-1")
        assert (settled.outcome, settled.code) == ("rejected", "revoked")
    assert shop.till.outbox.waiting() == 0


def test_a_worker_that_has_not_heard_of_the_terminal_cannot_end_what_another_approves(shop: Shop) -> None:
    envelope = shop.authorized()
    stale = Backend(shop.store, shop.key, Terminals(shop.registrations[1:]), shop.policy, lambda: shop.time)
    refusal = stale.handle("till-1", envelope)
    assert shop.read(refusal).code == "topic_identity"
    with pytest.raises(PaymentError):
        shop.till.outbox.settle(refusal, shop.trust, "till-1")
    head = shop.till.outbox.head()
    assert head is not None
    assert head.envelope == envelope, "it goes on being sent"
    receipt = shop.backend.handle("till-1", envelope)
    assert shop.till.outbox.settle(receipt, shop.trust, "till-1").outcome == "approved"
    assert stale.handle("till-1", envelope) == receipt, "what was written down every worker says"
    assert len(shop.backend.payments()) == 1


def test_no_refusal_without_a_trace_ends_what_still_lives(shop: Shop) -> None:
    envelope = shop.authorized()
    for code in CODES:
        with pytest.raises(PaymentError, match=code):
            shop.till.outbox.settle(
                forged(shop, envelope, outcome="rejected", code=code, intent=NO_ID), shop.trust, "till-1"
            )
    assert shop.till.outbox.waiting() == 1


def test_the_time_floor_survives_a_restart(shop: Shop) -> None:
    shop.open()
    shop.restart_terminal()
    assert shop.till.outbox.time_floor == START
    assert TrustedClock(shop.till.outbox).at_least() == START


def test_settled_intents_leave_only_once_they_would_be_refused_as_expired(shop: Shop, tmp_path: Path) -> None:
    accepted = shop.open()
    envelope = shop.till.authorize(accepted, shop.mandate, START)
    unsettled = shop.authorized()
    shop.till.outbox.settle(shop.backend.handle("till-1", envelope), shop.trust, "till-1")
    shop.time += INTENT_TTL_S + 1
    shop.open()
    head = shop.till.outbox.head()
    assert head is not None
    assert head.envelope == unsettled
    with pytest.raises(PaymentError) as error:
        shop.till.outbox.settle(shop.backend.handle("till-1", envelope), shop.trust, "till-1")
    assert refused(error) == "receipt"
    clock = TrustedClock(shop.till.outbox, lambda: 0.0)
    clock.set(START, 0.0)
    assert clock.now() == shop.time, "time is never below what the backend signed"


@contextmanager
def disk_with(size: int) -> Iterator[None]:
    """No file of this process can grow beyond `size` bytes: writes fail as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_authorizes_nothing_and_loses_nothing(shop: Shop, tmp_path: Path) -> None:
    waiting = shop.authorized()
    accepted = shop.open()
    with disk_with((tmp_path / "till-1.db-wal").stat().st_size), pytest.raises(OutboxError, match="free disk space"):
        shop.till.authorize(accepted, shop.mandate, START)
    assert shop.till.outbox.waiting() == 1
    shop.restart_terminal()
    head = shop.till.outbox.head()
    assert head is not None
    assert head.envelope == waiting
    assert shop.code(waiting) == "approved"
    hears(shop)
    (left,) = shop.till.outbox.interrupted()
    assert left.id == accepted.intent.id
    assert shop.code(shop.authorized()) == "approved"


def with_hardware(shop: Shop, hardware: HardwareCounter) -> None:
    """Start the terminal again, with a counter in hardware."""
    shop.till.outbox.close()
    shop.till.outbox = Outbox(shop.folder / "till-1.db", hardware)


def put_back(shop: Shop, image: Path, hardware: HardwareCounter | None = None) -> None:
    """Take the outbox from a copy of an earlier day."""
    shop.till.outbox.close()
    for path in image.iterdir():
        shutil.copy(path, shop.folder / path.name)
    shop.till.outbox = Outbox(shop.folder / "till-1.db", hardware)


def image_of(shop: Shop) -> Path:
    """A copy of the outbox as it lies on the disk now."""
    image = shop.folder / "image"
    image.mkdir()
    for path in shop.folder.glob("till-1.db*"):
        shutil.copy(path, image / path.name)
    return image


def test_hardware_counts_once_a_batch_and_before_its_first_counter_is_used(shop: Shop) -> None:
    hardware = Hardware(6)
    with_hardware(shop, hardware)
    assert hardware.stands == 6, "a start at which nothing is signed wears nothing"
    assert [shop.till.read(shop.authorized()).counter for _ in range(3)] == [7 * BATCH, 7 * BATCH + 1, 7 * BATCH + 2]
    assert hardware.stands == 7
    with_hardware(shop, hardware)
    assert shop.till.read(shop.authorized()).counter == 8 * BATCH
    shop.till.outbox.close()
    with sqlite3.connect(shop.folder / "till-1.db") as database:
        database.execute("UPDATE meta SET value = ? WHERE name = 'counter'", (10 * BATCH - 2,))
    database.close()
    hardware.stands = 8
    with_hardware(shop, hardware)
    assert [shop.till.read(shop.authorized()).counter for _ in range(2)] == [10 * BATCH - 1, 10 * BATCH]
    assert hardware.stands == 10, "the last of a batch was followed by the first of the next"


def test_a_file_put_back_from_a_copy_signs_no_counter_twice_where_hardware_counts(shop: Shop) -> None:
    hardware = Hardware()
    with_hardware(shop, hardware)
    accepted = shop.open()
    image = image_of(shop)
    sent = shop.till.authorize(accepted, shop.mandate, START)
    assert shop.code(sent) == "approved"
    put_back(shop, image, hardware)
    shop.time += INTENT_TTL_S + 1
    (left,) = shop.till.outbox.interrupted()
    assert shop.code(shop.till.decline(left, "interrupted", shop.time)) != "clone_suspected"
    assert shop.code(shop.authorized()) == "approved"


def test_a_file_put_back_from_a_copy_signs_no_counter_twice_where_only_the_backend_counts(shop: Shop) -> None:
    accepted = shop.open()
    image = image_of(shop)
    assert shop.code(shop.till.authorize(accepted, shop.mandate, START)) == "approved"
    put_back(shop, image)
    assert shop.till.outbox.interrupted() == [], "its counter has been used since, and its own floor does not say so"
    shop.time += 7 * 86_400
    hears(shop)
    (left,) = shop.till.outbox.interrupted()
    assert left.id == accepted.intent.id
    assert shop.code(shop.till.decline(left, "interrupted", shop.time)) != "clone_suspected"
    assert shop.code(shop.authorized()) == "approved"


def test_nothing_is_authorized_after_a_start_before_the_backend_has_spoken(shop: Shop) -> None:
    accepted = shop.open()
    shop.restart_terminal()
    with pytest.raises(PaymentError, match="since the start") as error:
        shop.till.authorize(accepted, shop.mandate, START)
    assert refused(error) == "unknown_intent"
    shop.open()
    assert shop.code(shop.till.authorize(accepted, shop.mandate, START)) == "approved"


def test_an_old_intent_that_was_held_back_makes_a_file_put_back_sign_no_counter_twice(shop: Shop) -> None:
    assert shop.code(shop.authorized()) == "approved"
    _, held_back = shop.backend.issue_intent("till-1", Amount(500, "EUR"), "payer-7")
    image = image_of(shop)
    assert [shop.code(shop.authorized()) for _ in range(3)] == ["approved"] * 3
    put_back(shop, image)
    shop.time += 3 * 86_400
    till = shop.till
    old = read_intent(held_back, shop.trust, terminal="till-1", merchant="CORNER-SHOP", profile=till.profile)
    assert old.intent.expires_at > till.outbox.time_floor, "nothing says that it has ended"
    till.outbox.open_intent(old, None)
    left = OpenIntent(old.intent.id, old.digest)
    with pytest.raises(PaymentError, match="since the start"):
        till.decline(left, "clock", till.outbox.time_floor)
    hears(shop)
    assert left in till.outbox.interrupted()
    assert shop.code(till.decline(left, "interrupted", shop.time)) != "clone_suspected"
    assert shop.code(shop.authorized()) == "approved"


def test_a_new_element_that_has_counted_less_than_the_backend_saw_goes_on_above(shop: Shop) -> None:
    young = Hardware()
    with_hardware(shop, Hardware(89))
    assert shop.code(shop.authorized()) == "approved"
    with_hardware(shop, young)
    envelopes = [shop.authorized() for _ in range(3)]
    assert [shop.till.read(envelope).counter for envelope in envelopes] == [90 * BATCH + n for n in (1, 2, 3)]
    assert [shop.code(envelope) for envelope in envelopes] == ["approved"] * 3
    assert young.stands == 1, "it wears no faster"


def test_a_hardware_counter_that_fails_signs_nothing(shop: Shop) -> None:
    class Gone(Hardware):
        def advance(self) -> int:
            raise SecureElementGoneError("pulled out")

    with_hardware(shop, Gone())
    accepted = shop.open()
    with pytest.raises(SecureElementGoneError):
        shop.till.authorize(accepted, shop.mandate, START)
    assert shop.till.outbox.waiting() == 0
    assert len(shop.till.outbox.interrupted()) == 1


def test_a_damaged_file_is_named_and_not_repaired(shop: Shop, tmp_path: Path) -> None:
    shop.authorized()
    shop.till.outbox.close()
    path = tmp_path / "till-1.db"
    whole = path.read_bytes()
    path.write_bytes(b"x" * 4096 + whole[4096:])
    with pytest.raises(OutboxError, match=r"till-1\.db: .*keep the file"):
        Outbox(path)
    for page in range(4096, len(whole), 4096):
        path.write_bytes(whole[:page] + b"x" * 4096 + whole[page + 4096 :])
        with pytest.raises(OutboxError, match=r"till-1\.db: .*keep the file"):
            Outbox(path)
    path.write_bytes(whole)
    shop.restart_terminal()


def test_a_second_process_cannot_open_it(shop: Shop, tmp_path: Path) -> None:
    with pytest.raises(OutboxError, match="another process holds it"):
        Outbox(tmp_path / "till-1.db")


def test_a_file_of_another_layout_or_a_missing_folder_is_named(shop: Shop, tmp_path: Path) -> None:
    newer = sqlite3.connect(tmp_path / "newer.db")
    newer.execute("PRAGMA user_version = 7")
    newer.close()
    with pytest.raises(OutboxError, match="layout 7"):
        Outbox(tmp_path / "newer.db")
    with pytest.raises(OutboxError, match="cannot be opened"):
        Outbox(tmp_path / "missing" / "outbox.db")


def test_only_the_owner_can_read_it(shop: Shop, tmp_path: Path) -> None:
    assert (tmp_path / "till-1.db").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "till-1.db-wal").stat().st_mode & 0o777 == 0o600


# what a terminal of before could leave: one authorization without its receipt, one intent left open
FIRST = """
INSERT INTO intents VALUES (x'11111111111111111111111111111111', zeroblob(32), 1800000120);
INSERT INTO intents VALUES (x'22222222222222222222222222222222', zeroblob(32), 1800000120);
INSERT INTO outbox (counter, kind, intent, envelope, digest, audit) VALUES
    (5, 'authorization', x'11111111111111111111111111111111', x'aa', zeroblob(32), x'');
UPDATE meta SET value = 5 WHERE name = 'counter';
PRAGMA user_version = 1;
"""


def test_a_file_of_the_first_layout_is_brought_up_to_date_with_what_it_holds(tmp_path: Path) -> None:
    before = sqlite3.connect(tmp_path / "old.db")
    before.executescript(FIRST_LAYOUT + FIRST)
    before.close()
    for _ in range(2):
        with Outbox(tmp_path / "old.db", Hardware(40)) as outbox:
            head = outbox.head()
            assert head is not None
            assert (head.envelope, outbox.waiting(), outbox.counter, outbox.put_back) == (b"\xaa", 1, 5, False)
            assert [left.id for left in outbox.interrupted()] == [b"\x22" * 16]
    with Outbox(tmp_path / "old.db", Hardware(41)) as outbox:
        assert outbox.put_back, "it knows since then where the hardware stood"


def test_a_first_layout_that_cannot_be_brought_up_to_date_is_left_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "old.db"
    before = sqlite3.connect(path)
    before.executescript(FIRST_LAYOUT + FIRST)
    before.close()
    with disk_with(8192), pytest.raises(OutboxError, match="free disk space"):
        Outbox(path)
    after = sqlite3.connect(path)
    assert after.execute("PRAGMA user_version").fetchone() == (1,)
    assert after.execute("SELECT count(*) FROM outbox").fetchone() == (1,)
    after.close()
    Outbox(path).close()
