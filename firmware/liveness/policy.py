"""What each kind of terminal takes for a living face: data, shipped in `policy.toml`, never configured."""

import hashlib
import math
from importlib.resources import files
from typing import Annotated, Literal, get_args

import msgspec
from msgspec import Meta

PolicyName = Literal["demo", "door", "payment", "payment_high"]
POLICIES: tuple[PolicyName, ...] = get_args(PolicyName)
CueName = Literal["photometric", "dot_halo", "eyes", "mask_edges", "network"]


class Policy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one kind of terminal asks for.

    Attributes:
        code_bits: of the emitter code that must be answered.
        cues: which soft cues are weighed.
        llr_min: least sum of their log-likelihood ratios, nats.
        dynamic: when a face must also have moved as nothing rigid can: `asked`: where the intent asks for it; `doubt`:
            where the cues sum up to less than `llr_sure`; `always`; `challenge`: always, and in answer to a prompt.
        llr_sure: nats, from which on there is no doubt.
        turns: prompts to turn that a challenge adds.
        attention: whether the eyes must be open and look at the terminal.
        pin: whether a secret must have been typed as well.
    """

    code_bits: Annotated[int, Meta(ge=8, le=64)]
    cues: tuple[CueName, ...]
    llr_min: float
    dynamic: Literal["asked", "doubt", "always", "challenge"]
    llr_sure: float = math.inf
    turns: Annotated[int, Meta(ge=0, le=2)] = 0
    attention: bool = False
    pin: bool = False

    def asking(self) -> "Policy":
        """The same, where an intent asks for dynamic evidence."""
        return msgspec.structs.replace(self, dynamic="always") if self.dynamic in ("asked", "doubt") else self


def load_policy(name: PolicyName) -> tuple[Policy, bytes]:
    """The shipped policy and the SHA-256 of the whole file."""
    raw = (files("firmware.liveness") / "policy.toml").read_bytes()
    policies = msgspec.toml.decode(raw, type=dict[PolicyName, Policy], strict=True)
    return policies[name], hashlib.sha256(raw).digest()
