"""What a cosine means, per population: shipped as data, decoded strictly, never mixed.

`virtual` holds for rendered people (profiles `demo` and `rig`), `real` for everybody else. A rate never stands
without its number of trials, and `kind` says what sort of evidence it is.
"""

import hashlib
import math
from importlib.resources import files
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

Population = Literal["virtual", "real"]
MAX_CALIBRATION_BYTES = 64 * 1024

Cosine = Annotated[float, Meta(ge=-1, le=1)]
Rate = Annotated[float, Meta(ge=0, le=1)]
Count = Annotated[int, Meta(ge=0)]


class CalibrationError(Exception):
    """A score calibration that cannot be used; the message names file, key and reason."""


class Calibration(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How to read the scores of one population.

    Attributes:
        population: whom it holds for.
        kind: `simulated` (rendered people) or `proxy` (not the terminal's own infrared); neither is
            a field measurement.
        evidence: what was measured, on what, with which networks.
        threshold: least cosine that is a match, named by its false match rate.
        trials: impostor comparisons behind `fmr`.
        errors: those at or above the threshold.
        fmr: errors / trials.
        fmr_upper: what may be claimed: one-sided 95 % upper bound of the rate, the larger of Clopper-Pearson over
            comparisons and a bootstrap over people.
        genuine_trials: comparisons of a person with himself.
        genuine_errors: those below the threshold.
        slope: natural-log likelihood ratio = slope * cosine + offset ...
        offset: ... and
        llr_limit: never beyond this in either direction: no more than the trials can show.
        mean: embedding to subtract from both sides before the cosine; empty where none.
    """

    population: Population
    kind: Literal["simulated", "proxy"]
    evidence: Annotated[str, Meta(min_length=1, max_length=1000)]
    threshold: Cosine
    trials: Annotated[int, Meta(ge=1)]
    errors: Count
    fmr: Rate
    fmr_upper: Rate
    genuine_trials: Annotated[int, Meta(ge=1)]
    genuine_errors: Count
    slope: Annotated[float, Meta(gt=0)]
    offset: float
    llr_limit: Annotated[float, Meta(gt=0)]
    mean: list[float] = []

    def __post_init__(self) -> None:
        """Refuse a calibration that claims more than its trials. Raises ValueError."""
        numbers = (self.offset, self.slope, self.llr_limit, *self.mean)
        if not all(math.isfinite(number) for number in numbers):
            raise ValueError("a number is not finite")
        if len(self.mean) not in (0, 128):
            raise ValueError(f"mean has {len(self.mean)} numbers, must have 128 or none")
        if self.errors > self.trials or self.genuine_errors > self.genuine_trials:
            raise ValueError("more errors than trials")
        if not math.isclose(self.fmr, self.errors / self.trials, rel_tol=1e-2, abs_tol=1e-12):
            raise ValueError(f"fmr {self.fmr} is not errors / trials")
        if self.fmr_upper < max(self.fmr, 2.99 / self.trials):
            raise ValueError(f"fmr_upper {self.fmr_upper} claims more than {self.trials} trials can")

    @property
    def digest(self) -> bytes:
        """SHA-256 of the shipped file: what an authorization binds as its threshold evidence."""
        return hashlib.sha256(_calibration_bytes(self.population)).digest()


def decode_calibration(raw: bytes, where: str) -> Calibration:
    """Decode a calibration strictly. Raises CalibrationError naming `where`, key and reason."""
    if len(raw) > MAX_CALIBRATION_BYTES:
        raise CalibrationError(f"{where}: larger than {MAX_CALIBRATION_BYTES} bytes")
    try:
        return msgspec.toml.decode(raw, type=Calibration, strict=True)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise CalibrationError(f"{where}: {error}") from error


def load_calibration(population: Population) -> Calibration:
    """Read the shipped calibration of a population. Raises CalibrationError."""
    where = f"calibration/{population}.toml"
    calibration = decode_calibration(_calibration_bytes(population), where)
    if calibration.population != population:
        raise CalibrationError(f"{where}: population: is {calibration.population}, never to be mixed with {population}")
    return calibration


def _calibration_bytes(population: Population) -> bytes:
    try:
        return (files("firmware.vision.calibration") / f"{population}.toml").read_bytes()
    except OSError as error:
        raise CalibrationError(f"no calibration for population {population!r}; shipped: virtual, real") from error
