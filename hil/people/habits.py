"""The distributions of `living.toml`, strictly read: every number of a living person's motion comes from there."""

from functools import cache
from importlib.resources import files
from typing import Literal

import msgspec
import numpy as np

from hil.people.head import PeopleError


class _Strict(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    pass


class Normal(_Strict, frozen=True):
    """A normal distribution, clipped."""

    mean: float
    sd: float
    low: float
    high: float

    def draw(self, rng: np.random.Generator) -> float:
        """One value."""
        return float(np.clip(rng.normal(self.mean, self.sd), self.low, self.high))


class Uniform(_Strict, frozen=True):
    """Evenly between two ends."""

    low: float
    high: float

    def draw(self, rng: np.random.Generator) -> float:
        """One value."""
        return float(rng.uniform(self.low, self.high))


class _Sourced(_Strict, frozen=True):
    kind: Literal["published", "assumption"]
    source: str


class Blink(_Sourced, frozen=True):
    """Spontaneous blinks."""

    rate_per_minute: Normal
    close_s: float
    open_s: float
    hold_s: Uniform
    partial_share: float
    partial_closure: Uniform


class Gaze(_Sourced, frozen=True):
    """Fixations and the saccades between them."""

    fixation_s: Normal
    saccade_ms_per_deg: float
    saccade_base_ms: float


class GazeTargets(_Sourced, frozen=True):
    """Where people look, off the lens."""

    yaw_deg: Normal
    pitch_deg: Normal


class Sway(_Sourced, frozen=True):
    """Quiet standing."""

    sideways_rms_mm: Normal
    forward_rms_mm: Normal


class Turns(_Strict, frozen=True):
    """Degrees."""

    yaw: float
    pitch: float
    roll: float


class Breath(_Sourced, frozen=True):
    """Breathing, and the head's own small turning."""

    rate_per_minute: Normal
    rise_mm: Normal
    turn_rms_deg: Turns


class Speech(_Sourced, frozen=True):
    """Talking."""

    syllables_per_s: Normal
    open: Uniform
    talks_unasked_share: float
    lasts_s: Uniform


class Reaction(_Sourced, frozen=True):
    """From the prompt to the first motion: lognormal, never less than `least_s`."""

    median_s: float
    log_sigma: float
    least_s: float

    def draw(self, rng: np.random.Generator) -> float:
        """Seconds."""
        return max(self.least_s, float(self.median_s * np.exp(rng.normal(0, self.log_sigma))))


class Refusal(_Sourced, frozen=True):
    """Share of people who do not do what a prompt asks, by its kind."""

    share: dict[str, float]


class Smile(_Sourced, frozen=True):
    """An asked-for smile."""

    excursion_mm: Normal
    full_mm: float
    onset_s: Normal


class MouthOpen(_Sourced, frozen=True):
    """An asked-for opening of the mouth."""

    gape_mm: Normal
    full_mm: float
    onset_s: Normal


class Turn(_Sourced, frozen=True):
    """An asked-for turn of the head."""

    yaw_deg: Normal
    pitch_deg: Normal
    onset_s: Normal


class Hold(_Sourced, frozen=True):
    """How an answer ends; `release` is a factor on its onset."""

    hold_s: Normal
    release: float


class Habits(_Strict, frozen=True):
    """All of `living.toml`."""

    blink: Blink
    gaze: Gaze
    gaze_targets: GazeTargets
    sway: Sway
    breath: Breath
    speech: Speech
    reaction: Reaction
    refusal: Refusal
    smile: Smile
    mouth_open: MouthOpen
    turn: Turn
    hold: Hold


@cache
def habits() -> Habits:
    """The frozen distributions. Raises PeopleError if the file is not what is expected."""
    raw = files("hil.people").joinpath("living.toml").read_bytes()
    try:
        return msgspec.toml.decode(raw, type=Habits, strict=True)
    except msgspec.DecodeError as error:
        raise PeopleError(f"hil/people/living.toml: {error}") from error
