"""What each kind of terminal takes for a living face: data, shipped in `policy.toml`, never configured."""

import hashlib
from importlib.resources import files
from typing import Annotated, Literal, get_args

import msgspec
from msgspec import Meta

PolicyName = Literal["demo", "door", "payment", "payment_high"]
POLICIES: tuple[PolicyName, ...] = get_args(PolicyName)
CueName = Literal["photometric", "dot_halo", "eyes", "mask_edges"]


class Policy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one kind of terminal asks for.

    Attributes:
        code_bits: of the emitter code that must be answered.
        cues: which soft cues are weighed.
        llr_min: least sum of their log-likelihood ratios, nats.
        dynamic: whether a face must also have moved as no rigid artefact can.
    """

    code_bits: Annotated[int, Meta(ge=8, le=64)]
    cues: tuple[CueName, ...]
    llr_min: float
    dynamic: bool


def load_policy(name: PolicyName) -> tuple[Policy, bytes]:
    """The shipped policy and the SHA-256 of the whole file."""
    raw = (files("firmware.liveness") / "policy.toml").read_bytes()
    policies = msgspec.toml.decode(raw, type=dict[PolicyName, Policy], strict=True)
    return policies[name], hashlib.sha256(raw).digest()
