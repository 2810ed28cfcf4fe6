"""Whatever is cut, copied, put back, deleted: under one allowance never more is signed than it says, in all copies.

The disk is the attacker's: they copy the outbox at every instant, also between booking and counting, end the process
there, and start it again on any copy, or on none. The hardware counts on.
"""

import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from firmware.payment.errors import PaymentError
from firmware.payment.intent import AcceptedIntent
from firmware.payment.messages import Allowance, Beacon, Intent
from firmware.payment.outbox import Outbox
from tests.payment.hardware import Hardware

START = 1_800_000_000
PAYMENT, PAYER, TERMINAL = 30, 50, 80
UNSHRUNK = (Phase.explicit, Phase.reuse, Phase.generate)
AMOUNTS = st.sampled_from([20, 30, 31])
MOSTLY, SELDOM = st.sampled_from([True, True, True, False]), st.sampled_from([False, False, False, True])


class CutError(Exception):
    """The power went."""


class Cut(Hardware):
    """Goes at `at`: before or after it has counted; `seen` is called between booking and counting."""

    at = ""

    def advance(self) -> int:
        self.seen()
        if self.at == "before":
            raise CutError
        stands = super().advance()
        if self.at == "after":
            raise CutError
        return stands

    def seen(self) -> None:
        """Replaced by whoever copies."""


class Copies(RuleBasedStateMachine):
    """One element, one allowance at a time, any number of copies of one outbox."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.hardware, self.copies = Cut(5), list[Path]()
        self.path, self.made, self.allowances = self.folder / "live.db", 0, 0
        self.outbox = Outbox(self.path, self.hardware)
        self.signed: list[tuple[bytes, str, int]] = []

    @initialize()
    def beacons(self) -> None:
        self.renewed(really=True)
        self.renewed(really=True)

    def hear(self) -> None:
        self.outbox.heard(Beacon(terminal="till-1", nonce=bytes(32), time=START, counter=0, allowance=self.allowance))

    @rule(really=SELDOM)
    def renewed(self, really: bool) -> None:
        """The backend gives another allowance."""
        if not really:
            return
        self.allowances += 1
        self.allowance = Allowance(
            id=self.allowances.to_bytes(16, "big"), currency="EUR", exponent=2, payment_minor=PAYMENT,
            payer_minor=PAYER, terminal_minor=TERMINAL, hold_s=60, expires_at=START + 60,
        )  # fmt: skip
        self.hear()

    @rule(
        minor=AMOUNTS,
        payer=st.sampled_from(["ada", "ada", "bob"]),
        cut=st.sampled_from(["", "", "", "before", "after"]),
        copied=SELDOM,
        signs=MOSTLY,
        ends=MOSTLY,
    )
    def pay(self, minor: int, payer: str, cut: str, copied: bool, signs: bool, ends: bool) -> None:
        """A payment offline, cut before or after the hardware has counted, or before it is stored; the process goes on
        where only the element was pulled out.
        """
        self.made += 1
        intent = Intent(
            id=self.made.to_bytes(16, "big"), issued_at=START, expires_at=START + 60, terminal="till-1", merchant="m",
            amount_minor=minor, currency="EUR", exponent=2, challenge=bytes(32), assurance="geometry", payer=payer,
            counter=0,
        )  # fmt: skip
        self.hardware.at, self.hardware.seen = cut, self.copy if copied else lambda: None  # type: ignore[method-assign]
        made: list[int] = []

        def make(counter: int) -> bytes:
            made.append(counter)
            if not signs:
                raise CutError
            return intent.id + counter.to_bytes(8, "big")

        self.outbox.open_intent(AcceptedIntent(intent, bytes(32), "geometry"), None)
        try:
            self.outbox.authorize_offline(intent, self.allowance, START, make, b"")
        except PaymentError:
            assert not made
        except CutError:
            if ends:
                self.start()
        self.hardware.at = ""
        self.signed += [(self.allowance.id, payer, minor) for _ in made]

    @rule()
    def spend(self) -> None:
        """All that is to be had of it, as far as this file knows."""
        for minor, payer in ((30, "ada"), (20, "ada"), (30, "bob"), (20, "bob")):
            self.pay(minor=minor, payer=payer, cut="", copied=False, signs=True, ends=True)

    @rule(new=SELDOM)
    def take_turns(self, new: bool) -> None:
        """One file books a count and is cut, a copy from before or a new one makes it, and the first goes on."""
        self.copy()
        self.pay(minor=20, payer="bob", cut="before", copied=False, signs=True, ends=False)
        if new:
            self.delete(renewed=True)
            self.renewed(really=True)
        else:
            self.put_back(which=1)
        self.pay(minor=30, payer="ada", cut="", copied=False, signs=True, ends=True)
        self.put_back(which=1)
        self.spend()

    @rule()
    def copy(self) -> None:
        """Copy the outbox as it lies on the disk."""
        copy = self.folder / f"copy-{len(self.copies)}"
        copy.mkdir()
        for file in self.folder.glob("live.db*"):
            shutil.copy(file, copy / file.name)
        self.copies.append(copy)

    @precondition(lambda self: self.copies)
    @rule(which=st.integers(0, 3))
    def put_back(self, which: int) -> None:
        """Start from one of the last copies, and keep what was there as another."""
        self.outbox.close()
        self.copy()
        for file in self.folder.glob("live.db*"):
            file.unlink()
        for file in self.copies[-1 - which % len(self.copies)].iterdir():
            shutil.copy(file, self.folder / file.name)
        self.start()

    @rule(renewed=MOSTLY)
    def delete(self, renewed: bool) -> None:
        """Keep what was there as a copy, and begin a new outbox; perhaps the backend's next allowance comes."""
        self.outbox.close()
        self.copy()
        for file in self.folder.glob("live.db*"):
            file.unlink()
        self.start()
        self.renewed(renewed)

    @rule()
    def start(self) -> None:
        """The process starts again and hears the backend: without that there is no time, and nothing is signed."""
        self.outbox.close()
        self.outbox = Outbox(self.path, self.hardware)
        self.hear()

    @invariant()
    def never_more_than_allowed(self) -> None:
        for allowance in {one[0] for one in self.signed}:
            under = [(payer, minor) for one, payer, minor in self.signed if one == allowance]
            assert max(minor for _, minor in under) <= PAYMENT
            assert sum(minor for _, minor in under) <= TERMINAL
            for payer in ("ada", "bob"):
                assert sum(minor for whose, minor in under if whose == payer) <= PAYER

    def teardown(self) -> None:
        self.outbox.close()
        shutil.rmtree(self.folder)


def test_whatever_is_cut_copied_and_put_back_no_allowance_is_taken_twice() -> None:
    steps = settings(max_examples=30, stateful_step_count=20, deadline=None, derandomize=True, phases=UNSHRUNK)
    run_state_machine_as_test(Copies, settings=steps)


@pytest.mark.soak
@pytest.mark.timeout(4 * 3600)
def test_the_same_for_longer() -> None:
    run_state_machine_as_test(Copies, settings=settings(max_examples=5000, stateful_step_count=40, deadline=None))
