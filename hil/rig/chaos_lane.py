"""One till's day in a chaos run: one order after another, each with a customer and a cashier who do what was drawn.

Rules kept here:
- What happens is drawn from a seed, before it happens: the same seed draws the same day. When it happens is not.
- At one till no two amounts are alike, so that a screen tells which payment it speaks of.
- Who has waited long enough takes the order back, or leaves it to expire; that is drawn too.
- An order whose answer was lost is looked for by the register's own reference.
"""

import random
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import msgspec

from firmware.payment.authorize import display_text
from firmware.payment.money import Amount
from hil.rig.chaos_customer import Customer, Does
from hil.rig.chaos_town import Terminal
from hil.rig.register import OPEN, Order, Register, RegisterError
from hil.rig.site import MERCHANT

Kind = Literal[
    "pays", "taps_twice", "cancels", "cashier_cancels", "nobody_taps", "replaced", "stranger", "too_much", "reversed",
    "refunded",
]  # fmt: skip
# of a hundred orders
MIX: dict[Kind, int] = {
    "pays": 62, "taps_twice": 6, "cancels": 5, "cashier_cancels": 6, "nobody_taps": 3, "replaced": 4, "stranger": 2,
    "too_much": 2, "reversed": 4, "refunded": 6,
}  # fmt: skip
DOES: dict[Kind, Does] = {"taps_twice": "taps_twice", "cancels": "cancels", "nobody_taps": "waits"}
CURRENCIES = ("EUR", "EUR", "EUR", "JPY", "KWD")
FIRST_MINOR = 101
ANOTHER_MINOR = 5000  # above all others of a till, and not too much
TOO_MUCH_MINOR = 1_000_000
# a payment in peace takes a second; behind this the cashier gives up
WAIT_S = 20.0
IMPATIENT_S = 1.5
SCREEN_S = 6.0
GIVES_UP = 0.7
"""Share of the orders that took too long which are taken back; the others are left to expire."""
END_S = 240.0


class Drawn(msgspec.Struct, frozen=True):
    """An order before it is made; `patience_s` is how long after it a cashier who cancels does so."""

    kind: Kind
    amount: Amount
    payer: str
    patience_s: float
    gives_up: bool
    parts: tuple[float, ...]

    @property
    def shown(self) -> str:
        """What the screen asks to confirm."""
        return display_text(self.amount.minor, self.amount.currency, MERCHANT)


def draw(seed: int, terminal: str, payers: tuple[str, ...], orders: int, kinds: tuple[Kind, ...]) -> Iterator[Drawn]:
    """The orders of one till, drawn among `kinds`."""
    drawn = random.Random(f"{seed}/{terminal}")  # noqa: S311, a day that can be drawn again
    for number in range(orders):
        kind = drawn.choices(kinds, [MIX[kind] for kind in kinds])[0]
        minor = TOO_MUCH_MINOR + number if kind == "too_much" else FIRST_MINOR + number
        payer = "payer-nobody" if kind == "stranger" else drawn.choice(payers)
        parts = tuple(drawn.uniform(0.1, 0.5) for _ in range(drawn.randint(1, 2)))
        patience_s = drawn.uniform(0, IMPATIENT_S)
        yield Drawn(kind, Amount(minor, drawn.choice(CURRENCIES)), payer, patience_s, drawn.random() < GIVES_UP, parts)


class Lane:
    """A till at work, in a thread of its own: `run`. `over` is told whenever a customer has left."""

    def __init__(
        self, terminal: Terminal, register: Register, drawn: list[Drawn], screens: Path, over: Callable[[], None]
    ) -> None:
        self._terminal, self._register, self._drawn, self._screens = terminal, register, drawn, screens
        self._over = over
        self._plan: dict[str, Does] = {}
        self._pause, self._closing = threading.Event(), threading.Event()
        self.made: list[tuple[Drawn, Order]] = []
        self.problems: list[str] = []

    def stop(self) -> None:
        """Serve nobody else: the run is broken off."""
        self._closing.set()

    def run(self) -> None:
        """Serve everybody; what was left open is waited for in `finish`."""
        with Customer(self._terminal.config, lambda shown: self._plan.get(shown, "waits"), self._screens) as customer:
            for drawn in self._drawn:
                if self._closing.is_set():
                    return
                try:
                    self._serve(drawn, customer)
                except RegisterError as error:
                    self.problems.append(str(error))
                self._over()

    def finish(self) -> None:
        """Wait until every order is over, and write down how each stands in the end. Raises RegisterError."""
        for _, order in self.made:
            self._register.settled(order, END_S)
            self._register.balance(order)

    def _serve(self, drawn: Drawn, customer: Customer) -> None:
        self._plan[drawn.shown] = DOES.get(drawn.kind, "taps")
        order = self._ask(drawn.amount, drawn.payer, drawn)
        if drawn.kind == "replaced":
            order = self._replaced(drawn, order)
        if drawn.kind in ("cashier_cancels", "nobody_taps"):
            self._pause.wait(drawn.patience_s)
            self._register.cancel(order)
        if not self._register.settled(order, WAIT_S):
            if drawn.gives_up:
                self._register.cancel(order)
            return
        if self._register.state(order) == "approved":
            customer.told(drawn.shown, SCREEN_S)
            self._give_back(drawn, order)

    def _replaced(self, drawn: Drawn, first: Order) -> Order:
        """The cashier starts over: takes the order back, or forgets to, and asks for another amount at once."""
        if drawn.gives_up:
            self._register.cancel(first)
        amount = Amount(drawn.amount.minor + ANOTHER_MINOR, drawn.amount.currency)
        self._plan[display_text(amount.minor, amount.currency, MERCHANT)] = "taps"
        return self._ask(amount, drawn.payer, drawn)

    def _ask(self, amount: Amount, payer: str, drawn: Drawn) -> Order:
        order = self._register.ask(self._terminal.name, amount, payer)
        self.made.append((drawn, order))
        return order

    def _give_back(self, drawn: Drawn, order: Order) -> None:
        if drawn.kind == "reversed":
            self._register.reverse(order, drawn.amount)
        elif drawn.kind == "refunded":
            for part in drawn.parts:
                minor = max(1, int(drawn.amount.minor * part))
                self._register.refund(order, Amount(minor, drawn.amount.currency))


def find_lost(register: Register, references: list[str]) -> list[Order]:
    """Orders whose answer never came, looked for by what the register calls them; settled and balanced."""
    found = [order for reference in references if (order := register.find(reference)) is not None]
    for order in found:
        if register.state(order) in OPEN:
            register.cancel(order)
        register.balance(order)
    return found
