"""Who may be compared with how many, at which false-match rate, and what a missing modality means.

Rules kept here:
- One look compared with N people finds a wrong one with probability 1 - (1 - FMR)^N (FPIR), at most N * FMR:
  a policy that allows more than its limit cannot be decoded, and a gallery that has grown beyond it is not searched.
- `payment` is 1:1 or small-N, refuses where a modality is missing, and keeps N * FMR within 1 in 10,000 (NIST SP
  800-63B-4); only a door may search everybody, and then demands a margin.
"""

import hashlib
import math
from importlib.resources import files
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from firmware.vision.calibration import CalibrationError

PolicyName = Literal["payment", "door"]
ModeName = Literal["claimed", "last_digits", "everybody"]
PAYMENT_FPIR = 1e-4
ROUNDING = 1 + 1e-9


def fpir(rate: float, people: int) -> float:
    """False-positive identification rate of one look compared with `people` at a false-match `rate`."""
    return -math.expm1(people * math.log1p(-rate))


class _Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A strictly decoded TOML table."""


class Mode(_Table, frozen=True, kw_only=True):
    """How a look is compared: see `policy.toml`."""

    rate: Annotated[float, Meta(gt=0, le=0.01)]
    most: Annotated[int, Meta(ge=1, le=1_000_000)]
    margin: Annotated[float, Meta(ge=0, le=100)] = 0.0


class Policy(_Table, frozen=True, kw_only=True):
    """What a kind of terminal takes for a recognition.

    Attributes:
        missing: what a missing modality means: no, or a higher threshold for the other one.
        raise_by: by how much higher at least, nats.
        fpir_limit: largest N * FMR of any mode.
        claimed: 1:1 against the claimed person.
        last_digits: against the few whose number ends so, None where not offered.
        everybody: against the whole gallery, None where not offered.
    """

    missing: Literal["refuse", "raise"]
    raise_by: Annotated[float, Meta(ge=0, le=100)] = 0.0
    fpir_limit: Annotated[float, Meta(gt=0, le=0.1)]
    claimed: Mode
    last_digits: Mode | None = None
    everybody: Mode | None = None

    def __post_init__(self) -> None:
        """Refuse a policy that finds strangers more often than its limit. Raises ValueError."""
        for name in ("claimed", "last_digits", "everybody"):
            mode: Mode | None = getattr(self, name)
            if mode is not None and mode.most * mode.rate > self.fpir_limit * ROUNDING:
                raise ValueError(f"{name}: {mode.most} people at {mode.rate:g} exceed the limit of {self.fpir_limit:g}")
        if self.claimed.most != 1:
            raise ValueError("claimed: one person is claimed, not several")
        if self.missing == "raise" and self.raise_by <= 0:
            raise ValueError("raise_by: a missing modality must raise the threshold")
        if self.everybody is not None and self.everybody.margin <= 0:
            raise ValueError("everybody: the best of all needs a margin to the second")

    @property
    def pays(self) -> bool:
        """Whether it is strict enough for payments."""
        return self.missing == "refuse" and self.fpir_limit <= PAYMENT_FPIR * ROUNDING and self.everybody is None


class _Policies(_Table, frozen=True, kw_only=True):
    payment: Policy
    door: Policy

    def __post_init__(self) -> None:
        if not self.payment.pays:
            raise ValueError(f"payment: must refuse what is missing, keep N * FMR <= {PAYMENT_FPIR:g}, search nobody")


def decode_policies(raw: bytes, where: str) -> dict[PolicyName, Policy]:
    """Decode both policies strictly. Raises CalibrationError naming `where`, key and reason."""
    try:
        both = msgspec.toml.decode(raw, type=_Policies, strict=True)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise CalibrationError(f"{where}: {error}") from error
    return {"payment": both.payment, "door": both.door}


def load_policy(name: PolicyName) -> tuple[Policy, bytes]:
    """The shipped policy, and the SHA-256 of everything it says. Raises CalibrationError."""
    raw = (files("firmware.vision") / "policy.toml").read_bytes()
    policy = decode_policies(raw, "vision/policy.toml")[name]
    return policy, hashlib.sha256(msgspec.json.encode(policy)).digest()
