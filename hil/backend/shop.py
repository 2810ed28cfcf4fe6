"""A backend and the terminals it knows, on a real database, in one process and on one scripted clock."""

import hashlib
from pathlib import Path

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec

from firmware.payment import schema
from firmware.payment.intent import AcceptedIntent
from firmware.payment.messages import Decline, Mandate, Receipt
from firmware.payment.money import Amount
from firmware.payment.trust import Trust, key_id
from hil.backend.backend import Backend
from hil.backend.keys import registration
from hil.backend.policy import DEMO, Policy
from hil.backend.simulator import SimulatedTerminal, new_element
from hil.backend.store import Store
from hil.backend.terminals import Terminals

START = 1_800_000_000
PAYER = "payer-7"
CONSENT = hashlib.sha256(b"consent").digest()
METHOD = "bank_app"  # as a desk would say it; nobody is authenticated here


class Shop:
    """One backend, terminals `till-1` and `till-2`. `time` is the clock of all three, whole seconds since 1970.

    `database` is the backend's, by URL; a SQLite file in `folder` where none is given.
    """

    def __init__(self, folder: Path, policy: Policy = DEMO, profile: str = "demo", database: str | None = None) -> None:
        self.database = database or str(folder / "backend.db")
        self.time, self.folder, self.policy = START, folder, policy
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.kid = key_id(self.key.public_key())
        self.trust = Trust({self.kid: self.key.public_key()})
        self.terminals = {
            name: SimulatedTerminal(folder / f"{name}.db", self.trust, new_element(), name)
            for name in ("till-1", "till-2")
        }
        self.registrations = [
            registration(name, terminal.merchant, profile, terminal.element.public_key)
            for name, terminal in self.terminals.items()
        ]
        self.till = self.terminals["till-1"]
        self.start_backend()
        self.mandate = self.new_mandate().id

    def start_backend(self) -> None:
        """Open the backend on its store."""
        self.store = Store(self.database)
        self.backend = self.worker(self.store)

    def worker(self, store: Store) -> Backend:
        """One more backend with the same key, terminals and policy."""
        return Backend(store, self.key, Terminals(self.registrations), self.policy, lambda: self.time)

    def close(self) -> None:
        """Close every store."""
        self.store.close()
        for terminal in self.terminals.values():
            terminal.outbox.close()

    def restart_backend(self) -> None:
        """Close it and open it again."""
        self.store.close()
        self.start_backend()

    def restart_terminal(self) -> None:
        """Close the outbox of till-1 and open it again, as after a crash: only what was committed is there."""
        self.till.outbox.close()
        self.till = SimulatedTerminal(self.folder / "till-1.db", self.trust, self.till.element, "till-1")
        self.terminals["till-1"] = self.till

    def register_again(self, **changes: object) -> None:
        """Change what the backend knows of till-1."""
        self.registrations[0] = msgspec.structs.replace(self.registrations[0], **changes)
        self.restart_backend()

    def new_mandate(self, terminal: str = "till-1", payer: str = PAYER, purpose: str = "payment") -> Mandate:
        """Have the backend issue a mandate."""
        envelope = self.backend.issue_mandate(terminal, payer, purpose, CONSENT, METHOD)
        return schema.verify(envelope, Mandate, self.trust.resolve)[1]

    def open(
        self, minor: int = 1250, currency: str = "EUR", terminal: str = "till-1", payer: str = PAYER
    ) -> AcceptedIntent:
        """Ask for a payment; the terminal accepts and opens it."""
        _, envelope = self.backend.issue_intent(terminal, Amount(minor, currency), payer)
        return self.terminals[terminal].open(envelope, self.time)

    def authorized(self) -> bytes:
        """An honest authorization of a new intent."""
        return self.till.authorize(self.open(), self.mandate, self.time)

    def altered(self, **changes: object) -> bytes:
        """An authorization that differs from the honest one, signed by the terminal's own key."""
        return self.till.sign(msgspec.structs.replace(self.till.read(self.authorized()), **changes))

    def answer(self, envelope: bytes, topic: str = "till-1") -> Receipt:
        """Hand an envelope to the backend; return its verified receipt."""
        return self.read(self.backend.handle(topic, envelope))

    def read(self, receipt: bytes) -> Receipt:
        """Read a receipt, verified."""
        return schema.verify(receipt, Receipt, self.trust.resolve)[1]

    def rivals(self, accepted: AcceptedIntent) -> tuple[bytes, bytes]:
        """An authorization and a decline of one intent, as only a broken terminal signs both."""
        authorization = self.till.authorize(accepted, self.mandate, self.time)
        counter = self.till.read(authorization).counter + 1
        decline = Decline(
            intent=accepted.intent.id,
            intent_hash=accepted.digest,
            terminal=self.till.name,
            counter=counter,
            issued_at=self.time,
            reason="flat",
        )
        return authorization, self.till.sign(decline)

    def code(self, envelope: bytes, topic: str = "till-1") -> str:
        """The reject code, or the outcome where there is none."""
        receipt = self.answer(envelope, topic)
        return receipt.code or receipt.outcome
