"""Both modalities together, chimeric: a real person's infrared score with a made-up person's depth score.

No set of real near-infrared faces with depth is openly available. Each real person of the infrared proxy is given one
made-up person, in every comparison the same one (person-consistent), and that is repeated with others. What this
assumes: that the two modalities err independently, and that visible-light photographs stand for near infrared.

Rules kept here:
- Every number from here is printed with `ASSUMING`.
- A picture is compared with the best of a person's other pictures, as a terminal compares a probe with its templates.
- Intervals draw real people and made-up people anew; the repetitions are not independent and add no certainty.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from firmware.vision.calibration import Calibration, Reading
from hil.evaluate.errors import EvaluateError
from hil.evaluate.rates import LEVEL, Rate, exact_bounds, needed

ASSUMING = "assuming independence, visible-light proxy"
PAIRINGS = 10
ROUNDS = 400
TAIL = 0.01  # of the impostor comparisons, best first: more than any rate asked for
_SEED = 0xC41
F64 = NDArray[np.float64]
I64 = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """Cosines of one modality: (probes, people) each probe with each enrolled person, and whose probe it is.

    A person's own column of a picture leaves that picture out.
    """

    cosine: F64
    whose: I64

    @property
    def people(self) -> int:
        """How many are enrolled."""
        return int(self.cosine.shape[1])


def read_proxy(data: Path) -> Scores:
    """Infrared proxy: scores of real grey portraits in `data`. Raises EvaluateError."""
    path = data / "scores" / "sface_grey_portraits.npz"
    try:
        with np.load(path, allow_pickle=False) as kept:
            score, first, second = (kept[name] for name in ("score", "person_a", "person_b"))
    except (OSError, KeyError, ValueError) as error:
        raise EvaluateError(f"{path}: not the scores of real portraits: {error}; set TESSERA_DATA") from error
    pictures = round((1 + (1 + 8 * len(score)) ** 0.5) / 2)
    one, other = np.triu_indices(pictures, 1)  # the order in which the pairs are stored
    if not len(one) == len(score) == len(first) == len(second) or not np.isfinite(score).all():
        raise EvaluateError(f"{path}: {len(score)} scores are not all pairs of some pictures")
    whose = np.zeros(pictures, np.int64)
    whose[one], whose[other] = first, second
    if (whose[one] != first).any():
        raise EvaluateError(f"{path}: the pairs are not in the order of pictures")
    square = np.full((pictures, pictures), -1.0)
    square[one, other] = square[other, one] = score
    best = np.stack([square[:, whose == person].max(axis=1) for person in range(whose.max() + 1)], axis=1)
    return Scores(best, whose)


@dataclass(frozen=True, slots=True, eq=False)
class Chimeras:
    """Comparisons of both modalities: pairings x probes x people, log-likelihood ratios.

    Attributes:
        ir, depth: (r, n, p) float64.
        whose: (n,) int64, the real person of each probe.
        given: (r, p) int64, the made-up person of each real one.
    """

    ir: F64
    depth: F64
    whose: I64
    given: I64

    @property
    def fused(self) -> F64:
        """(r, n, p) sums."""
        return self.ir + self.depth


def pair_up(ir: Scores, depth: Scores, calibration: Calibration, pairings: int = PAIRINGS) -> Chimeras:
    """Give every real person a made-up one, `pairings` times, and each picture one of that person's probes.

    Raises:
        EvaluateError: there are fewer made-up people with a probe than real ones.
    """
    rng = np.random.default_rng(_SEED)
    probes_of = [np.flatnonzero(depth.whose == person) for person in range(depth.people)]
    usable = np.array([person for person, probes in enumerate(probes_of) if len(probes)], np.int64)
    if len(usable) < ir.people:
        raise EvaluateError(f"{len(usable)} made-up people for {ir.people} real ones: more are needed")
    given = np.stack([rng.permutation(usable)[: ir.people] for _ in range(pairings)])
    shapes = []
    for one in given:
        probe = np.array([rng.choice(probes_of[person]) for person in one[ir.whose]])
        shapes.append(depth.cosine[probe][:, one])
    of_ir = np.broadcast_to(_ratio(ir.cosine, calibration.ir), (pairings, *ir.cosine.shape))
    return Chimeras(of_ir, _ratio(np.stack(shapes), calibration.depth), ir.whose, given)


def _ratio(cosine: F64, reading: Reading) -> F64:
    return np.asarray(np.clip(reading.slope * cosine + reading.offset, -reading.limit, reading.limit), np.float64)


@dataclass(frozen=True, slots=True)
class Point:
    """The true accept rate at the least threshold that keeps `far`; None where the comparisons cannot show it."""

    far: float
    threshold: float
    rate: Rate | None


def tar_at(pairs: Chimeras, scores: F64, fars: tuple[float, ...], rounds: int = ROUNDS) -> list[Point]:
    """True accept rates of `scores` (r, n, p), real and made-up people drawn anew."""
    pairings, probes, people = scores.shape
    own = np.arange(people) == pairs.whose[:, None]  # (n, p)
    genuine = scores[:, own]  # (r, n), in the order of probes: each has one own column
    flat = np.where(own, -np.inf, scores).ravel()
    impostors = scores.size - genuine.size
    tail = np.argpartition(-flat, int(TAIL * impostors))[: int(TAIL * impostors)]
    tail = tail[np.argsort(-flat[tail], kind="stable")]
    which, probe, column = np.unravel_index(tail, scores.shape)
    everybody = np.ones((pairings, people))
    count = np.bincount(pairs.whose, minlength=people).astype(np.float64)

    def reached(times: F64) -> list[tuple[float, float]]:
        """With `times` (r, p), how often each chimera counts."""
        of_tail = times[which, pairs.whose[probe]] * times[which, column]
        total = float(((times * count).sum(axis=1) * times.sum(axis=1) - (times**2 * count).sum(axis=1)).sum())
        weight = times[:, pairs.whose]
        false = np.cumsum(of_tail) / max(total, 1e-9)
        found = []
        for far in fars:
            refused = int(np.searchsorted(false, far * (1 + 1e-12), side="right"))  # the first that must not get in
            if refused == len(tail):
                raise EvaluateError(f"a false accept rate of {far:g} lies beyond the best {TAIL:.0%} of comparisons")
            threshold = float(np.nextafter(flat[tail[refused]], np.inf))
            found.append((float(weight[genuine >= threshold].sum() / max(float(weight.sum()), 1e-9)), threshold))
        return found

    plain = reached(everybody)
    rng = np.random.default_rng(_SEED)
    drawn = []
    for _ in range(rounds):
        real, made = (_drawn(rng, n) for n in (people, int(pairs.given.max()) + 1))
        drawn.append([value for value, _ in reached(real * made[pairs.given])])
    points = []
    for far, (value, threshold), seen in zip(fars, plain, zip(*drawn, strict=True), strict=True):
        exact = exact_bounds(round(value * probes), probes)  # a picture counts once, however often it was used
        low, high = (float(edge) for edge in np.percentile(seen, [50 * (1 - LEVEL), 50 * (1 + LEVEL)]))
        rate = Rate(value, min(low, exact[0], value), max(high, exact[1], value))
        points.append(Point(far, threshold, rate if impostors >= needed(far) else None))
    return points


@dataclass(frozen=True, slots=True)
class Decided:
    """What a shipped threshold did: `false` of `impostors` got in, `accepted` of `genuine`."""

    rate: float
    threshold: float
    false: int
    impostors: int
    accepted: int
    genuine: int


def decided(pairs: Chimeras, calibration: Calibration, rate: float) -> Decided:
    """Decide every comparison as the terminal does, floors included. Raises CalibrationError."""
    threshold = calibration.threshold(rate).llr
    yes = (pairs.fused >= threshold) & (pairs.ir >= calibration.ir.floor) & (pairs.depth >= calibration.depth.floor)
    own = np.broadcast_to(np.arange(pairs.ir.shape[2]) == pairs.whose[:, None], yes.shape)
    return Decided(rate, threshold, int(yes[~own].sum()), int((~own).sum()), int(yes[own].sum()), int(own.sum()))


def _drawn(rng: np.random.Generator, people: int) -> F64:
    return np.bincount(rng.integers(0, people, people), minlength=people).astype(np.float64)
