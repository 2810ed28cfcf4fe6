"""Without a connection: only under an allowance, booked before it is used; a copy put back takes nothing twice."""

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import msgspec
import pytest

from drivers.secure_element.interface import SecureElementError
from firmware.payment.authorize import Binding, display_text, sign_authorization
from firmware.payment.clock import MAX_SKEW_S
from firmware.payment.errors import OutboxError, PaymentError
from firmware.payment.intent import AcceptedIntent
from firmware.payment.messages import NO_ID, Allowance, Beacon
from firmware.payment.outbox import Outbox
from firmware.payment.outbox_file import FIRST_LAYOUT
from hil.backend import fleet_store
from hil.backend.backend import INTENT_TTL_S
from hil.backend.fleet import nothing
from hil.backend.shop import START, Shop
from hil.backend.simulator import EVIDENCE
from tests.payment.hardware import Hardware

HOLD_S = 86_400
ALLOWANCE = Allowance(
    id=b"allowance of 60.", currency="EUR", exponent=2, payment_minor=2500, payer_minor=4000, terminal_minor=6000,
    hold_s=HOLD_S, expires_at=START + 3600,
)  # fmt: skip
NOTHING = nothing(START)

FIRST = msgspec.structs.replace(ALLOWANCE, id=b"the first of 60.")


class Post:
    """A shop whose till-1 counts in hardware, and was given `FIRST` and then `ALLOWANCE`."""

    def __init__(self, folder: Path) -> None:
        self.shop, self.hardware = Shop(folder), Hardware(100)
        self.shop.register_again(counter=True)
        self.open()
        self.given(FIRST)
        self.given(ALLOWANCE)

    @property
    def outbox(self) -> Outbox:
        return self.shop.till.outbox

    def open(self) -> None:
        """Start the terminal again."""
        self.outbox.close()
        self.shop.till.outbox = Outbox(self.shop.folder / "till-1.db", self.hardware)

    def given(self, allowance: Allowance) -> None:
        """The backend gives an allowance, and the terminal hears of it."""
        self.shop.store.transact(
            lambda ledger: fleet_store.keep_allowance(ledger.connection, "till-1", allowance, self.shop.time)
        )
        self.hear(allowance)

    def hear(self, allowance: Allowance) -> None:
        """The terminal hears of an allowance."""
        beacon = Beacon(terminal="till-1", nonce=bytes(32), time=self.shop.time, counter=0, allowance=allowance)
        self.outbox.heard(beacon)

    def sign(self, accepted: AcceptedIntent, allowance: Allowance = ALLOWANCE) -> bytes:
        """Authorize an open intent offline."""
        till, intent, now = self.shop.till, accepted.intent, self.shop.time

        def make(counter: int) -> bytes:
            shown = display_text(intent.amount_minor, intent.currency, intent.merchant)
            return sign_authorization(
                accepted, software=till.software, evidence=EVIDENCE, binding=Binding(intent.payer, self.shop.mandate),
                shown=shown, now=now, counter=counter, element=till.element, allowance=allowance,
            )  # fmt: skip

        return self.outbox.authorize_offline(intent, allowance, now, make, b"")

    def refused(self, accepted: AcceptedIntent, allowance: Allowance = ALLOWANCE) -> bool:
        """Whether it is refused as `offline`, with nothing signed and nothing counted in hardware."""
        waiting, stands = self.outbox.waiting(), self.hardware.stands
        with pytest.raises(PaymentError) as error:
            self.sign(accepted, allowance)
        return (error.value.code, self.outbox.waiting(), self.hardware.stands) == ("offline", waiting, stands)

    def copy(self) -> Path:
        """A copy of the outbox as it lies on the disk now."""
        image = self.shop.folder / f"image-{len(list(self.shop.folder.glob('image-*')))}"
        image.mkdir()
        for path in self.shop.folder.glob("till-1.db*"):
            shutil.copy(path, image / path.name)
        return image

    def put_back(self, image: Path) -> None:
        """Take the outbox from a copy of before."""
        self.outbox.close()
        for path in self.shop.folder.glob("till-1.db*"):
            path.unlink()
        for path in image.iterdir():
            shutil.copy(path, self.shop.folder / path.name)
        self.shop.till.outbox = Outbox(self.shop.folder / "till-1.db", self.hardware)


@contextmanager
def cut(post: Post, counted: int = 0) -> Iterator[None]:
    """The hardware counter fails, before it has counted or after."""

    def fail() -> int:
        post.hardware.stands += counted
        raise SecureElementError("pulled out")

    post.hardware.advance = fail  # type: ignore[method-assign]
    with pytest.raises(SecureElementError, match="pulled out"):
        yield
    del post.hardware.advance


@pytest.fixture
def post(tmp_path: Path) -> Iterator[Post]:
    post = Post(tmp_path)
    yield post
    post.shop.close()


def test_what_was_signed_offline_is_approved_when_it_is_delivered_hours_later(post: Post) -> None:
    accepted = post.shop.open(2500)
    envelope = post.sign(accepted)
    signed = post.shop.till.read(envelope)
    assert (signed.allowance, signed.expires_at) == (ALLOWANCE.id, START + HOLD_S)
    post.shop.time += HOLD_S - 1
    assert post.shop.backend.state(accepted.intent.id).state == "open", "it may still come"
    assert post.shop.code(envelope) == "approved"
    assert post.shop.backend.state(accepted.intent.id).state == "approved"


def test_what_was_signed_offline_is_expired_once_its_hold_is_over(post: Post) -> None:
    accepted = post.shop.open(2500)
    envelope = post.sign(accepted)
    post.shop.time += HOLD_S + INTENT_TTL_S
    assert post.shop.backend.state(accepted.intent.id).state == "expired"
    assert post.shop.code(envelope) == "expired"
    assert post.shop.backend.state(accepted.intent.id).state == "expired"
    assert post.shop.backend.payments() == []


def test_an_intent_no_allowance_covers_expires_at_its_own_time(post: Post) -> None:
    above, yen = post.shop.open(2501), post.shop.open(100, "JPY")
    covered = post.shop.open(2500)
    post.shop.time += INTENT_TTL_S
    states = [post.shop.backend.state(one.intent.id).state for one in (above, yen, covered)]
    assert states == ["expired", "expired", "open"]


@pytest.mark.parametrize(("minor", "currency"), [(2501, "EUR"), (100, "JPY"), (2500, "USD"), (1, "KWD")])
def test_a_payment_above_the_limit_or_in_another_currency_is_not_signed(post: Post, minor: int, currency: str) -> None:
    assert post.refused(post.shop.open(minor, currency))


def test_the_limits_of_payer_and_terminal_hold_over_restarts(post: Post) -> None:
    post.sign(post.shop.open(2500))
    post.open()
    post.hear(ALLOWANCE)
    assert post.refused(post.shop.open(1501)), "of one payer"
    post.sign(post.shop.open(1500))
    post.open()
    post.hear(ALLOWANCE)
    assert post.refused(post.shop.open(1))
    assert post.refused(post.shop.open(2001, payer="payer-8")), "of all together"
    post.sign(post.shop.open(2000, payer="payer-8"))
    assert post.refused(post.shop.open(1, payer="payer-9"))


def test_an_allowance_that_has_ended_or_says_nothing_is_none(post: Post) -> None:
    accepted = post.shop.open()
    nothing = msgspec.structs.replace(ALLOWANCE, payment_minor=0, payer_minor=0, terminal_minor=0)
    assert post.refused(accepted, nothing)
    post.shop.time = ALLOWANCE.expires_at
    assert post.refused(post.shop.open())


def test_nothing_is_signed_offline_where_no_hardware_counts(post: Post) -> None:
    post.outbox.close()
    post.shop.till.outbox = Outbox(post.shop.folder / "till-1.db")
    assert post.refused(post.shop.open())


def test_a_new_allowance_begins_anew_but_for_what_still_waits(post: Post) -> None:
    first = post.sign(post.shop.open(2500))
    second = msgspec.structs.replace(ALLOWANCE, id=b"the second of 60")
    post.given(second)
    assert post.refused(post.shop.open(1501), second)
    post.outbox.settle(post.shop.backend.handle("till-1", first), post.shop.trust, "till-1")
    post.hear(second)
    post.sign(post.shop.open(2500), second)


def test_a_refusal_without_a_trace_ends_nothing_taken_offline_before_its_hold_has(post: Post) -> None:
    envelope = post.sign(post.shop.open())
    post.shop.register_again(revoked=True)
    post.shop.time += HOLD_S + MAX_SKEW_S - 1
    with pytest.raises(PaymentError, match="revoked"):
        post.outbox.settle(post.shop.backend.handle("till-1", envelope), post.shop.trust, "till-1")
    post.shop.time += 1
    assert post.outbox.settle(post.shop.backend.handle("till-1", envelope), post.shop.trust, "till-1").code == "revoked"


def test_every_payment_offline_is_one_count_of_the_hardware_and_booked_before(post: Post) -> None:
    stands, accepted = post.hardware.stands, post.shop.open(2500)
    with cut(post):
        post.sign(accepted)
    assert (post.hardware.stands, post.outbox.waiting()) == (stands, 0)
    post.open()
    assert not post.outbox.put_back, "a count that was booked and never made is no sign of a copy"
    post.hear(ALLOWANCE)
    with pytest.raises(PaymentError, match="this payer"):
        post.sign(post.shop.open(1501))  # what was booked stays booked
    post.sign(post.shop.open(1500))
    assert post.hardware.stands == stands + 1


def test_a_store_that_cannot_be_written_takes_nothing_offline_and_counts_nothing(post: Post) -> None:
    accepted, stands = post.shop.open(), post.hardware.stands
    post.outbox._file._db.execute("PRAGMA query_only = ON")
    with pytest.raises(OutboxError):
        post.sign(accepted)
    assert post.hardware.stands == stands


@pytest.mark.parametrize("taken", [1, 2])
def test_an_outbox_put_back_from_a_copy_takes_nothing_offline_ever_again(post: Post, taken: int) -> None:
    image = post.copy()
    for _ in range(taken):
        post.sign(post.shop.open(1000))
    post.put_back(image)
    assert post.outbox.put_back
    post.hear(ALLOWANCE)
    assert post.refused(post.shop.open())
    post.open()
    assert post.outbox.put_back, "nor after another start"
    renewed = msgspec.structs.replace(ALLOWANCE, id=b"a later one here")
    post.given(renewed)
    assert post.refused(post.shop.open(), renewed)
    assert post.shop.code(post.shop.authorized()) == "approved", "with a connection it goes on"


def test_a_copy_from_between_booking_and_counting_gains_nothing(post: Post) -> None:
    images: list[Path] = []
    advance = post.hardware.advance

    def copied() -> int:
        images.append(post.copy())
        return advance()

    post.hardware.advance = copied  # type: ignore[method-assign]
    accepted = post.shop.open(2500)
    envelope = post.sign(accepted)
    post.hardware.advance = advance  # type: ignore[method-assign]
    post.put_back(images[0])
    assert not post.outbox.put_back, "it is as new as the hardware says"
    post.hear(ALLOWANCE)
    assert post.refused(post.shop.open(1501)), "and knows of the amount"
    assert post.refused(accepted), "for its own amount was booked"
    assert post.shop.code(envelope) == "approved"


def test_a_count_that_was_booked_and_never_made_hides_no_copy(post: Post) -> None:
    """Cut between booking and counting, copied there, and both files used: the one that fell behind is known."""
    with cut(post):
        post.sign(post.shop.open(1))
    image = post.copy()
    post.open()
    post.hear(ALLOWANCE)
    post.sign(post.shop.open(2500))
    post.put_back(image)
    post.hear(ALLOWANCE)
    assert post.refused(post.shop.open(2500)), "of the first 25 it does not know"


def test_two_files_that_take_turns_over_one_booking_take_an_allowance_once(post: Post) -> None:
    """One books a count that is cut, a copy from before makes it and signs; the first is not the newest then."""
    before = post.copy()
    with cut(post):
        post.sign(post.shop.open(1))
    booked = post.copy()
    post.put_back(before)
    post.hear(ALLOWANCE)
    post.sign(post.shop.open(2500))
    signed = post.copy()
    post.put_back(booked)
    post.hear(ALLOWANCE)
    assert not post.outbox.put_back, "nor is it known to be a copy"
    assert post.outbox.withholds(ALLOWANCE)
    assert post.refused(post.shop.open(1))
    post.put_back(signed)
    post.hear(ALLOWANCE)
    assert post.refused(post.shop.open(1501)), "the other is the newest, and knows what it took"
    post.sign(post.shop.open(1500))
    post.put_back(booked)
    assert post.outbox.put_back, "two counts behind, it is found out"


@pytest.mark.parametrize("started", [True, False])
def test_a_count_that_was_made_and_never_noted_costs_the_rest_of_the_allowance(post: Post, started: bool) -> None:
    with cut(post, counted=1):
        post.sign(post.shop.open(1))
    if started:
        post.open()
        post.hear(ALLOWANCE)
        assert post.outbox.withholds(ALLOWANCE)
    assert post.refused(post.shop.open(1))
    assert post.outbox.withholds(ALLOWANCE)
    assert not post.outbox.put_back
    post.hear(ALLOWANCE)
    renewed = msgspec.structs.replace(ALLOWANCE, id=b"a later one here")
    post.given(renewed)
    assert not post.outbox.withholds(renewed)
    post.sign(post.shop.open(2500), renewed)


def test_a_copy_put_back_while_the_process_runs_is_found_at_the_next_count(post: Post) -> None:
    post.sign(post.shop.open(1000))
    post.hardware.stands += 1  # a newer copy of this file, elsewhere, with the same element
    with pytest.raises(PaymentError, match="put back"):
        post.sign(post.shop.open(1000))
    assert post.outbox.put_back


def test_another_element_than_the_file_knows_takes_nothing_offline(post: Post) -> None:
    post.sign(post.shop.open(1000))
    post.hardware.stands = 3
    post.open()
    post.hear(ALLOWANCE)
    assert post.refused(post.shop.open())


@pytest.mark.parametrize("left", ["nothing", "a file of the first layout"])
def test_a_deleted_or_downgraded_outbox_takes_an_allowance_no_second_time(post: Post, left: str) -> None:
    post.sign(post.shop.open(2500))
    for _ in range(3):
        post.outbox.close()
        for path in post.shop.folder.glob("till-1.db*"):
            path.unlink()
        if left != "nothing":
            with closing(sqlite3.connect(post.shop.folder / "till-1.db")) as before:
                before.executescript(FIRST_LAYOUT + "PRAGMA user_version = 1;")
        post.open()
        assert not post.outbox.put_back
        assert post.refused(post.shop.open(1)), "before it has heard of any"
        post.hear(NOTHING)
        post.hear(ALLOWANCE)
        assert post.refused(post.shop.open(1))
        post.open()
        post.hear(NOTHING)
        post.hear(ALLOWANCE)
        assert post.refused(post.shop.open(1)), "nor after another start"
        assert post.outbox.withholds(ALLOWANCE)
    renewed = msgspec.structs.replace(ALLOWANCE, id=b"a later one here")
    post.given(renewed)
    assert not post.outbox.withholds(renewed)
    post.sign(post.shop.open(2500), renewed)
    assert post.refused(post.shop.open(1501), renewed)


def test_to_be_allowed_nothing_for_a_while_gives_no_allowance_anew(post: Post) -> None:
    envelope = post.sign(post.shop.open(2500))
    post.outbox.settle(post.shop.backend.handle("till-1", envelope), post.shop.trust, "till-1")
    post.hear(NOTHING)
    post.hear(ALLOWANCE)
    assert post.refused(post.shop.open(1501))


def test_a_reservation_is_never_changed(post: Post) -> None:
    post.sign(post.shop.open(1000))
    post.outbox.close()
    file = sqlite3.connect(post.shop.folder / "till-1.db")
    with pytest.raises(sqlite3.IntegrityError, match="reservation stays"):
        file.execute("UPDATE reserved SET amount_minor = 1")
    file.close()
    post.open()


# -- what the backend says to it ---------------------------------------------------------------------------------------


def signed_with(post: Post, accepted: AcceptedIntent, **changes: object) -> bytes:
    """What a terminal in strange hands signs, with a counter of its own."""
    honest = post.shop.till.read(post.sign(accepted))
    return post.shop.till.sign(msgspec.structs.replace(honest, **changes))


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"allowance": b"never given to us"[:16]}, "offline"),
        ({"issued_at": START + 3600, "expires_at": START + 3600 + HOLD_S}, "offline"),
        ({"expires_at": START + HOLD_S + 1}, "ttl"),
        ({"expires_at": START + 60}, "ttl"),
        ({"allowance": NO_ID}, "ttl"),
        ({"issued_at": START + 120, "expires_at": START + 120 + HOLD_S}, "expired"),
    ],
)
def test_the_backend_refuses_what_no_allowance_covers(post: Post, changes: dict[str, object], code: str) -> None:
    accepted = post.shop.open(2500)
    post.shop.time += 100
    assert post.shop.code(signed_with(post, accepted, **changes)) == code
    assert post.shop.backend.payments() == []


def test_the_backend_refuses_another_terminals_allowance(post: Post) -> None:
    theirs = msgspec.structs.replace(ALLOWANCE, id=b"of the other till"[:16])
    post.shop.store.transact(lambda ledger: fleet_store.keep_allowance(ledger.connection, "till-2", theirs, START))
    assert post.shop.code(post.sign(post.shop.open(), theirs)) == "offline"


def test_the_backend_refuses_a_terminal_whose_element_does_not_count(post: Post) -> None:
    post.shop.register_again(counter=False)
    assert post.shop.code(post.sign(post.shop.open())) == "offline"


@pytest.mark.parametrize("minor", [2501, 100_000])
def test_the_backend_refuses_a_payment_above_the_limit_whoever_signs_it(post: Post, minor: int) -> None:
    wide = msgspec.structs.replace(ALLOWANCE, payment_minor=10**6, payer_minor=10**6, terminal_minor=10**6)
    assert post.shop.code(post.sign(post.shop.open(minor), wide)) == "offline"


def test_the_backend_sums_what_a_payer_and_a_terminal_take(post: Post) -> None:
    wide = msgspec.structs.replace(ALLOWANCE, payment_minor=10**6, payer_minor=10**6, terminal_minor=10**6)
    other = post.shop.new_mandate(payer="payer-8").id
    codes = [post.shop.code(post.sign(post.shop.open(minor), wide)) for minor in (2500, 1501, 1500, 1)]
    assert codes == ["approved", "offline", "approved", "offline"]
    post.shop.mandate = other
    codes = [post.shop.code(post.sign(post.shop.open(minor, payer="payer-8"), wide)) for minor in (2001, 2000, 1)]
    assert codes == ["offline", "approved", "offline"]


def test_a_cancellation_comes_before_what_was_signed_offline_and_is_final(post: Post) -> None:
    accepted = post.shop.open()
    envelope = post.sign(accepted)
    post.shop.time += INTENT_TTL_S + 1
    assert post.shop.backend.cancel(accepted.intent.id)[0].state == "cancelled"
    assert post.shop.code(envelope) == "cancelled"
    assert post.shop.backend.payments() == []
