"""What cosines mean, per population: shipped as data or measured at a site, decoded strictly, never mixed.

`virtual` holds for rendered people (profiles `demo` and `rig`), `real` for everybody else. A cosine becomes a
log-likelihood ratio, ratios add, and a threshold on the sum is named by the false-match rate that it keeps. It holds
for the networks it was measured with, and is refused by a version with others.
`evidence.py` has the rules of what a rate may claim; a file that claims more cannot be decoded.
"""

import hashlib
import math
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from firmware.vision.calibration.evidence import (
    CHANCE,
    NEEDED,
    Count,
    Evidence,
    Kind,
    Rate,
    chance_of_so_few,
    weakest,
)
from firmware.vision.embed import EMBEDDING_SIZE, MODALITIES, Modality
from firmware.vision.networks import template_networks

Population = Literal["virtual", "real"]
MAX_CALIBRATION_BYTES = 64 * 1024
MOST_ERRORS = 100_000
Sha256 = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]


class CalibrationError(Exception):
    """A score calibration that cannot be used; the message names file, key and reason."""


class Reading(Evidence, frozen=True, kw_only=True):
    """How to read one modality's cosine, larger is more alike.

    Attributes:
        slope: natural-log likelihood ratio of same person to another = slope * cosine + offset ...
        offset: ... and
        limit: held within plus and minus this: no more than so many pairs of people can show.
        floor: below this the modality speaks against the person, whatever the other says: at least ten to one, and
            less than 99.5 % of genuine comparisons do.
        mean: embedding to subtract from both sides before the cosine; empty where none.
    """

    slope: Annotated[float, Meta(gt=0)]
    offset: float
    limit: Annotated[float, Meta(gt=0)]
    floor: Annotated[float, Meta(le=0)]
    mean: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        """Refuse a reading that claims more than its trials. Raises ValueError."""
        if not all(math.isfinite(number) for number in (self.slope, self.offset, self.limit, self.floor, *self.mean)):
            raise ValueError("a number is not finite")
        if len(self.mean) not in (0, EMBEDDING_SIZE):
            raise ValueError(f"mean has {len(self.mean)} numbers, must have {EMBEDDING_SIZE} or none")
        if self.limit > math.log(max(self.pairs / NEEDED, 1.0)) + 1e-3:
            raise ValueError(f"limit {self.limit} is more than {self.pairs} pairs of people can show")

    def llr(self, cosine: float) -> float:
        """Natural-log likelihood ratio of a cosine; NaN of NaN."""
        return min(self.limit, max(-self.limit, self.slope * cosine + self.offset)) if cosine == cosine else math.nan


class Threshold(Evidence, frozen=True, kw_only=True):
    """The least sum of log-likelihood ratios that is a match, named by its false-match rate.

    Attributes:
        modalities: whose ratios are summed.
        rate: its name: the false-match rate that it keeps.
        llr: the least sum.
        errors: comparisons of different people at or above it.
        bound: what may be claimed of the false-match rate, one-sided 95 %.
        misses: genuine comparisons below it.
    """

    modalities: tuple[Modality, ...]
    rate: Annotated[float, Meta(gt=0, le=0.01)]
    llr: float
    errors: Annotated[int, Meta(ge=0, le=MOST_ERRORS)]
    bound: Rate
    misses: Count

    def __post_init__(self) -> None:
        """Refuse a threshold that claims more than its evidence. Raises ValueError."""
        if self.modalities not in (MODALITIES, MODALITIES[:1], MODALITIES[1:]):
            raise ValueError(f"modalities {self.modalities}: ir, depth or both, in this order")
        if not math.isfinite(self.llr):
            raise ValueError("llr is not finite")
        if self.llr < 0:
            raise ValueError(f"llr {self.llr}: a match is never less likely than not")
        if self.errors > self.comparisons or self.misses > self.genuine:
            raise ValueError("more errors than comparisons")
        if self.bound > self.rate:
            raise ValueError(f"bound {self.bound} does not support a false-match rate of {self.rate}")
        errors, comparisons = self.of_one_pairing(self.errors), self.of_one_pairing(self.comparisons)
        if chance_of_so_few(errors, comparisons, self.bound) > CHANCE * 1.01:
            raise ValueError(f"bound {self.bound} is more than {errors} errors in {comparisons} can show")
        if self.pairs * self.rate < NEEDED:
            raise ValueError(
                f"{self.pairs} pairs of people do not support a false-match rate of {self.rate}: "
                f"it takes {math.ceil(NEEDED / self.rate)}"
            )


class Calibration(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How to read the scores of one population."""

    population: Population
    networks: Sha256  # `vision.networks.template_networks` of those it was measured with
    ir: Reading
    depth: Reading
    thresholds: tuple[Threshold, ...]

    def __post_init__(self) -> None:
        """Refuse thresholds that contradict each other or their readings. Raises ValueError."""
        by_name = {(one.modalities, one.rate): one for one in self.thresholds}
        if len(by_name) != len(self.thresholds):
            raise ValueError("thresholds: two of one name")
        for one in self.thresholds:
            kind = weakest(tuple(self.of(modality).kind for modality in one.modalities))
            if one.kind != kind:
                raise ValueError(f"thresholds: one of {one.modalities} is {one.kind}, its readings are {kind}")
            for other in self.thresholds:
                if one.modalities == other.modalities and one.rate < other.rate and one.llr < other.llr:
                    raise ValueError(f"thresholds: {one.rate} is easier to reach than {other.rate}")
        if self.population == "virtual" and any(one.kind != "synthetic" for one in (self.ir, self.depth)):
            raise ValueError("virtual people are synthetic")

    def of(self, modality: Modality) -> Reading:
        """The reading of one modality."""
        return self.ir if modality == "ir" else self.depth

    def threshold(self, rate: float, modalities: tuple[Modality, ...] = MODALITIES) -> Threshold:
        """The threshold of that name.

        Raises:
            CalibrationError: there is none: the evidence does not reach that far.
        """
        for one in self.thresholds:
            if one.modalities == modalities and one.rate == rate:
                return one
        raise CalibrationError(
            f"calibration of {self.population} people: no threshold of {' and '.join(modalities)} at a false-match "
            f"rate of {rate:g}; its evidence does not reach that far"
        )

    @property
    def kind(self) -> Kind:
        """Of both modalities together."""
        return weakest((self.ir.kind, self.depth.kind))

    @property
    def digest(self) -> bytes:
        """SHA-256 of everything it says: what an authorization binds as its threshold evidence."""
        return hashlib.sha256(msgspec.json.encode(self)).digest()


def decode_calibration(raw: bytes, where: str) -> Calibration:
    """Decode a calibration strictly. Raises CalibrationError naming `where`, key and reason."""
    if len(raw) > MAX_CALIBRATION_BYTES:
        raise CalibrationError(f"{where}: larger than {MAX_CALIBRATION_BYTES} bytes")
    try:
        return msgspec.toml.decode(raw, type=Calibration, strict=True)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise CalibrationError(f"{where}: {error}") from error


def load_calibration(population: Population, site: Path | None = None) -> Calibration:
    """Read the shipped calibration of a population, or the one measured at this site that replaces it.

    Raises:
        CalibrationError: it cannot be read, is for other people or networks, or `site` was not measured at a site.
    """
    where = f"calibration/{population}.toml" if site is None else str(site)
    calibration = decode_calibration(_shipped(population) if site is None else _measured(site), where)
    if calibration.population != population:
        raise CalibrationError(f"{where}: population: is {calibration.population}, never to be mixed with {population}")
    if calibration.networks != template_networks().hex():
        raise CalibrationError(f"{where}: networks: was measured with other networks than this version's; measure anew")
    if site is not None and calibration.kind != "site":
        raise CalibrationError(f"{where}: kind: is {calibration.kind}; only what was measured at the site replaces it")
    return calibration


def _shipped(population: str) -> bytes:
    try:
        return (files("firmware.vision.calibration") / f"{population}.toml").read_bytes()
    except OSError as error:
        raise CalibrationError(f"no calibration for population {population!r}; shipped: virtual, real") from error


def _measured(site: Path) -> bytes:
    try:
        with site.open("rb") as file:
            return file.read(MAX_CALIBRATION_BYTES + 1)
    except OSError as error:
        raise CalibrationError(f"{site}: cannot be read: {error.strerror}") from error
