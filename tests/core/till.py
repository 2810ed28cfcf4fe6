"""A terminal that pays: real payments, outbox, gallery, attempts and audit log against a real backend; no camera.

What looks is a script. The link is a flag and a list: what is sent goes to the backend when a test says so.
"""

import asyncio
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import msgspec

from drivers.camera import Emitter, Intrinsics
from firmware.core.analysis import Finding
from firmware.core.attempts import Attempts
from firmware.core.inbox import Cancelled, Tapped
from firmware.core.link_port import LinkPort
from firmware.core.parts import Parts
from firmware.core.payments import Payments
from firmware.core.signing import Signer
from firmware.core.stand import Stand
from firmware.core.watch import Watching
from firmware.liveness.evidence import Gate
from firmware.payment.errors import PaymentError
from firmware.payment.messages import Allowance, Beacon
from firmware.payment.money import Amount
from firmware.payment.outbox import Outbox
from firmware.runtime.config import load_profile
from firmware.runtime.messages import Event, FrameReady
from hil.backend import fleet_store
from hil.backend.policy import DEMO
from tests.core.office import Office
from tests.payment.hardware import Hardware

PAYER = "payer-ada"
LATER_S = 3 * 86_400
ALIVE = Finding("", tuple(Gate(name, 1.0, "", passed=True, reason="") for name in DEMO.gates))
ONE = Intrinsics(width=1, height=1, fx=1.0, fy=1.0, cx=0.0, cy=0.0)
FRAME = FrameReady(
    capture=1, slot=0, sequence=0, timestamp_ns=0, intrinsics=ONE, emitter=Emitter(flood=1.0, dots=1.0),
    exposure_us=1, gain=1.0,
)  # fmt: skip


class Scripted:
    """Looks as it is told; every frame is followed by another."""

    dynamic, look_s = None, 10.0

    def __init__(self, till: "Till") -> None:
        self._till = till

    async def begin(self) -> str:
        self._till.stand.inbox.put(FRAME)
        return ""

    async def look(self, announced: FrameReady) -> Finding | None:
        self._till.before_frame()
        self._till.stand.inbox.put(announced)
        return self._till.finding

    async def end(self) -> None:
        self._till.captures += 1


class Till(Office):
    """One person is enrolled, `PAYER`; profile `demo`. `open` begins a scene, in a running loop.

    Attributes:
        finding: what every frame shows.
        before_frame: called before each.
        link: `connected`, and the outbox's head as it was last sent.
        time_known: whether there is a clock.
        allowance_given: what may be done offline.
        said: every event.
    """

    def __init__(self, folder: Path) -> None:
        self.time_known = True
        super().__init__(folder)
        self.config.merchant = self.shop.till.merchant
        self.enrol(self.papers())
        self.shop.register_again(counter=True)
        self.attempts = cast("Any", Attempts(folder / "state" / "attempts.db"))
        self.hardware = Hardware()
        self.judge = SimpleNamespace(bound=1e-5)
        self.basis = SimpleNamespace(policy=SimpleNamespace(pin=False))
        self.thresholds_digest = self.models_digest = bytes(32)
        self.firmware_version = "0.1.0"

    def open(self) -> None:
        """Another scene, at a later time, with nothing left of the one before."""
        self.profile = load_profile("demo")
        self.finding, self.captures = ALIVE, 0
        self.before_frame: Callable[[], None] = lambda: None
        self.allowance_given: Allowance | None = None
        self.time_known, self.link = True, SimpleNamespace(connected=True)
        self.now += LATER_S
        self.start()

    def start(self) -> None:
        """The process starts: what a dead one left open is declined."""
        self.outbox.close()
        self.shop.till.outbox = Outbox(self.shop.folder / "till-1.db", self.hardware)
        self.said: list[Event] = []
        self.stand = cast("Any", Stand(cast("Any", None), None, tell_values=False))
        self.stand.subscribers.tell = self.said.append
        self.stand.camera.info = SimpleNamespace(serial="virtual-0")
        parts = cast("Parts", self)
        self.payments = Payments(
            parts,
            Signer(parts),
            cast("Stand", self.stand),
            cast("LinkPort", self.link),
            lambda: None,
            watch=self._watch,
        )
        self.payments.delivery.decline_interrupted()

    def die(self) -> None:
        """The process ends wherever it stands, and starts again: only what is on the disk is left."""
        if self.stand._active is not None:
            self.stand._active.cancel()
        self.start()

    def _watch(self, *_: object) -> Watching:
        return Scripted(self)

    # what `core` finds in `Parts`
    @property
    def outbox(self) -> Any:
        return self.shop.till.outbox

    @property
    def clock(self) -> Any:
        return SimpleNamespace(now=self._time)

    def _time(self) -> int:
        if not self.time_known:
            raise PaymentError("clock", "no beacon has come")
        return self.now

    def now_or_floor(self) -> int:
        return self.now if self.time_known else max(self.outbox.time_floor, self.signed_until)

    def allowance(self) -> Allowance | None:
        self.clock.now()
        return self.allowance_given

    def give(self, allowance: Allowance) -> None:
        """The backend gives an allowance, and the terminal hears of it; it is not the first that this outbox hears."""
        self.shop.store.transact(
            lambda ledger: fleet_store.keep_allowance(ledger.connection, "till-1", allowance, self.now)
        )
        for each in (msgspec.structs.replace(allowance, id=b"of a file before"), allowance):
            self.outbox.heard(Beacon(terminal="till-1", nonce=bytes(32), time=self.now, counter=0, allowance=each))
        self.allowance_given = allowance

    # what happens at the counter
    def ask(self, minor: int = 1250, currency: str = "EUR") -> bytes:
        """The register asks for a payment, and the terminal is told. Returns the intent's id."""
        self.shop.time = self.now
        intent, envelope = self.shop.backend.issue_intent("till-1", Amount(minor, currency), PAYER)
        self.told_of = envelope
        self.payments.on_intent(envelope)
        return intent

    def cancel(self, intent: bytes) -> None:
        """The cashier takes it back, and the terminal is told."""
        envelope = self.shop.backend.cancel(intent)[1]
        if envelope is not None:
            self.payments.on_cancellation(envelope)

    async def touch(self, happening: Tapped | Cancelled | None = None) -> None:
        """The customer touches the screen as soon as it asks."""
        while not self.stand.shown:
            await asyncio.sleep(0)
        self.stand.touched(self.stand.scene, happening or Tapped())

    async def idle(self) -> None:
        """Wait until nobody is served."""
        while self.stand.busy:
            await asyncio.sleep(0)

    async def stored(self) -> None:
        """Wait until an envelope lies in the outbox."""
        while self.outbox.head() is None:
            await asyncio.sleep(0)

    def deliver(self) -> list[str]:
        """Deliver all that waits, and the receipts; the code or outcome of each."""
        codes = []
        self.shop.time = self.now
        while (head := self.outbox.head()) is not None:
            receipt = self.shop.backend.handle("till-1", head.envelope)
            said = self.shop.read(receipt)
            codes.append(said.code or said.outcome)
            self.payments.on_receipt(receipt)
        return codes

    async def paid(self, minor: int = 1250, currency: str = "EUR") -> bytes:
        """A whole payment."""
        intent = self.ask(minor, currency)
        await self.touch()
        await self.stored()
        self.deliver()
        await self.idle()
        return intent

    def short(self, **limits: float) -> None:
        """Let a wait of the session end at once."""
        self.profile = msgspec.structs.replace(self.profile, **limits)

    @property
    def outcome(self) -> str:
        """What the customer was told last."""
        return next(event.reason for event in reversed(self.said) if event.stage == "outcome")

    def state(self, intent: bytes) -> tuple[str, str]:
        """How it stands at the backend."""
        self.shop.time = self.now
        view = self.shop.backend.state(intent)
        return view.state, view.code

    def close(self) -> None:
        self.attempts.close()
        super().close()
