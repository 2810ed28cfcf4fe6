"""What a backend takes from a terminal, as data.

Rules kept here:
- `DEMO` takes simulated evidence, and authentication that is simulated, and says so by its name; nothing else may.
- A policy for production names the profile files, threshold files and models it knows, by digest: unknown is no.
"""

from typing import Annotated

import msgspec
from msgspec import Meta

from firmware.liveness.verdict import GATES
from firmware.payment.messages import Assurance, Currency, Minor, Name, Reason, Sum, Version
from firmware.payment.money import EXPONENTS

DEMO_PROFILES = ("demo", "rig")
HexDigest = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
HexKeyId = Annotated[str, Meta(pattern=r"^[0-9a-f]{16}\Z")]


class Velocity(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How much one payer may have approved within any `window_s` seconds, at all terminals together.

    Attributes:
        payments: how many, in whatever currency.
        amount_minor: by currency, the most in its minor units; a currency that is not named has no such limit.
    """

    window_s: Annotated[int, Meta(ge=1, le=31 * 24 * 3600)]
    payments: Annotated[int, Meta(ge=1)]
    amount_minor: dict[Currency, Minor] = {}


class Offline(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a terminal whose element counts in hardware may authorize while its link is down.

    Attributes:
        currency: in this one only; amounts are in its minor unit.
        payment_minor: most of one payment.
        payer_minor, terminal_minor: most of one payer, and of all together, until the next allowance.
        hold_s: how long an authorization may wait for delivery.
        allowance_s: how long nobody need be asked again. A new one is given once half of it has passed, so that a
            terminal in strange hands has two at most: where the policy was changed meanwhile, perhaps none of the new.
    """

    currency: Currency
    payment_minor: Minor
    payer_minor: Sum
    terminal_minor: Sum
    hold_s: Annotated[int, Meta(ge=60, le=7 * 86_400)]
    allowance_s: Annotated[int, Meta(ge=60, le=86_400)]

    def __post_init__(self) -> None:
        """Refuse limits that are none. Raises ValueError."""
        if self.currency not in EXPONENTS:
            raise ValueError(f"{self.currency}: not a currency this backend knows")
        if not self.payment_minor <= self.payer_minor <= self.terminal_minor:
            raise ValueError("offline: a payment's limit is above its payer's, or a payer's above the terminal's")


class Policy(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a backend demands.

    Attributes:
        profiles: terminal profiles taken.
        assurance: least evidence of life.
        gates: names of gates that must have passed.
        match_band: least n of a match threshold at a false match rate of 10^-n.
        firmware: lowest version taken.
        velocity: limits of one payer, all of which hold; none where none is given.
        offline: what is allowed while the link is down; nothing where it is not given.
        policies, thresholds, models: SHA-256 in hex of the files known; empty takes any, in `demo` only.
    """

    name: Name
    profiles: tuple[Name, ...]
    assurance: Assurance
    gates: tuple[Reason, ...] = ()
    match_band: Annotated[int, Meta(ge=1, le=9)]
    firmware: Version
    velocity: tuple[Velocity, ...] = ()
    offline: Offline | None = None
    policies: tuple[HexDigest, ...] = ()
    thresholds: tuple[HexDigest, ...] = ()
    models: tuple[HexDigest, ...] = ()

    def __post_init__(self) -> None:
        """Refuse a policy that takes what only a demonstration may. Raises ValueError."""
        if self.name == "demo":
            return
        if set(DEMO_PROFILES) & set(self.profiles) or self.assurance == "geometry":
            raise ValueError(f"policy {self.name}: profiles demo and rig, and assurance geometry, are for policy demo")
        if not (self.policies and self.thresholds and self.models):
            raise ValueError(f"policy {self.name}: policies, thresholds and models must be listed")


DEMO = Policy(
    name="demo",
    profiles=DEMO_PROFILES,
    assurance="geometry",
    gates=GATES,
    match_band=1,
    firmware="0.1.0",
)


class Registration(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A terminal the backend knows.

    Attributes:
        terminal: its id, also its place in the MQTT topics.
        merchant: where it stands.
        profile: the profile it was registered for.
        public_key: PEM of its device key.
        since: whole seconds since 1970; nothing signed earlier counts. What was once refused as `unknown_key` is
            not remembered and must not become good by a later registration.
        revoked: its key no longer counts; never taken back, a new key is registered instead.
        counter: its element counts in hardware, so that an outbox put back from a copy shows. Only such a terminal is
            allowed anything while its link is down.
        retired: ids of its keys before this one, in hex: none of them counts ever again, for any terminal.
    """

    terminal: Name
    merchant: Name
    profile: Name
    public_key: str
    since: int = 0
    revoked: bool = False
    counter: bool = False
    retired: tuple[HexKeyId, ...] = ()
