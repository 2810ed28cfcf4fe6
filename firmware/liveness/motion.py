"""How far the lower half of a face has changed its shape since it was at rest: what no rigid thing does. In mm.

The reference is this very face: the mean of its first frames, as a height map in axes of its own. Every later frame is
brought onto it by what does not move (`motion_align`), and what is then left is averaged over cells of a sixteenth of
the way from eyes to mouth (4 mm). Of mouth, cheeks and chin the RMS is told, and of the upper face beside it what the
registration itself leaves.

Rules kept here:
- Both sides must agree: of a cell and its mirror image the lesser counts, and nothing where they differ in sign.
  Smiles, opened mouths and words are on both sides; a finger, a fold, a shadow, and most of what turning does to
  depth are on one.
- The lower face must change its own shape (`own_mm`): one that moves as a whole is a jaw on a hinge, or a forehead that
  was shifted to mislead the alignment.
- Missing depth is no motion: a cell that is known in the reference and not now counts as unmoved.
- What comes nearer than a lip does (`NEARER_MM`) is a thing before the face, what goes farther than a chin
  (`FARTHER_MM`) was one, or is a hole: neither counts, nor what lies beside it.
- Two moments are averaged (`APART_S`): their noise differs, and a movement lasts.
- The limit grows with the square of the larger of both distances, as depth noise does (in metres times 600 px over the
  focal length: `far`), and with how far the face has turned and come nearer since: dots then fall elsewhere on it.
- The reference is made of frames that fit each other. What does not fit it moves nothing, nor do the first that fit
  again; what goes on not fitting is another face. Far away other faces fit: who it is, identity must say.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from drivers.camera import FrameSet
from firmware.liveness.limits import Limits
from firmware.liveness.motion_align import (
    F32,
    F64,
    LEAST_POINTS,
    Pose,
    Surface,
    aligned,
    first_pose,
    from_landmarks,
    points_about,
)
from firmware.vision.face import Face

GATHERED = 4
"""Frames that make the first reference."""
REMEMBERED = 6
"""Newest frames that `settle` makes the next one of."""
APART_S, TOGETHER_S = 0.1, 0.5
"""How much later the newer of the two moments is, at least and at most."""
DOUBT_S = 0.3
"""Once it has not fitted for this long it may be another face or an exchanged one. Shorter: a blurred frame, a hand."""
FITS = 3
"""Frames in a row that end a doubt."""
TURNED_MAX_DEG = 35.0
"""From the reference; farther round too little of it is seen."""
FOCAL_PX = 600.0
CELLS = 16
"""To the way from eyes to mouth."""
ROWS, COLUMNS, ABOVE = 36, 28, 10
"""Of the net, and how many of the rows lie above the eyes."""
NEARER_MM, BESIDE_NEARER = 5.0, 3  # and cells beside it: what dots are matched in smears the edge of a finger
FARTHER_MM, BESIDE_FARTHER = 10.0, 1
CLIPPED_MM = 5.0  # no cell counts for more
LEAST_KNOWN = 0.25  # of the lower face that the reference must have, with its mirror image
INDEPENDENT = 4.0  # cells that share their noise: what dots are matched in is 8 mm wide
TIED = 0.182  # expected square of the lesser of two unit normals that agree in sign, nothing where they do not
MEDIAN_OF_VARIANCE = 0.8  # of few samples, relative to its mean


@dataclass(frozen=True, slots=True)
class Deformation:
    """What is left of a face's motion once all that is rigid is taken off.

    Attributes:
        lower_mm: RMS over the lower face, noise taken off; both sides agreeing.
        upper_mm: RMS over the part that does not move: what registration leaves in this frame.
        sigma_mm: uncertainty of `lower_mm`, one sigma: noise of the cells and of the registration.
        turned_deg: how far the face is turned from where it was at rest.
        excess: `lower_mm` over what rigid things reach at this distance, or `own_mm` over a share of that, whichever is
            less; 1 and more is deformation.
        passive_excess: the same over the higher limit that holds without any prompt.
        mouth_mm: as `lower_mm`, of the mouth alone.
        cheeks_mm: of the lower cheeks.
        chin_mm: from the lower lip down.
        own_mm: as `lower_mm`, once the lower face as a whole is put back to where it fits best.
    """

    lower_mm: float
    upper_mm: float
    sigma_mm: float
    turned_deg: float
    excess: float
    passive_excess: float
    mouth_mm: float = 0.0
    cheeks_mm: float = 0.0
    chin_mm: float = 0.0
    own_mm: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class _Frame:
    """A frame brought to the head's axes: when, how far away, its points (N, 3), its landmarks (5, 3), its pose."""

    time_ns: int
    far: float
    points: F32
    landmarks: F64
    pose: Pose


@dataclass(frozen=True, slots=True, eq=False)
class _Reference:
    """A face at rest.

    Attributes:
        surface: its shape.
        pose: of the newest frame in it.
        far: the farthest of its frames.
        known: (ROWS, COLUMNS) bool, cells that have a height.
        variance_mm2: of one cell in one frame, from how its frames differ.
        frames: how many it is made of.
    """

    surface: Surface
    pose: Pose
    far: float
    known: NDArray[np.bool_]
    variance_mm2: float
    frames: int


class Motion:
    """Follows one face from frame to frame; only frames whose static gates hold belong here.

    Attributes:
        another: whether the part of the face that does not move has ceased to fit: this may be another face.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.reset()

    def reset(self) -> None:
        """Forget this face."""
        self.another = False
        self._misfit_ns: int | None = None
        self._fits = 0
        self._start: Surface | None = None
        self._reference: _Reference | None = None
        self._newest: deque[_Frame] = deque(maxlen=REMEMBERED)
        self._changes: deque[tuple[int, F64]] = deque()

    @property
    def doubtful(self) -> bool:
        """Whether the newest frames leave it open whose face this is."""
        return self._misfit_ns is not None

    @property
    def settled(self) -> bool:
        """Whether there is a reference to compare with."""
        return self._reference is not None

    def settle(self) -> None:
        """Take the newest frames for the face at rest: a prompt is shown. With fewer than four, gathering goes on."""
        if len(self._newest) < GATHERED or self._start is None:
            return
        self._reference = _reference(list(self._newest), self._start.size_mm)
        self._changes.clear()

    def forget(self, time_ns: int) -> None:
        """The frame of that time, the newest, was none: nothing is averaged with it, no reference is made of it."""
        self._changes.clear()
        if not self._newest or self._newest[-1].time_ns != time_ns:
            return
        pose = self._newest.pop().pose
        if not self._newest:
            self.reset()
        elif self._reference is not None and self._reference.pose is pose:
            self._reference = None

    def follow(self, frames: FrameSet, face: Face) -> Deformation | None:
        """Measure one more frame.

        Returns:
            None while the reference is gathered, after a gap, and where this frame cannot be measured: too little
            depth, turned too far, not this face.
        """
        points = points_about(frames.depth_mm, frames.intrinsics, face.points_mm)
        surface = self._reference.surface if self._reference else self._start
        if surface is None:
            self._begin(frames, points, face)
            return None
        found = aligned(points, surface, from_landmarks(face.points_mm, surface.landmarks_mm))
        if found is None:
            if self._reference is None:  # the first frame was no good, or this one is not
                self.reset()
            return None
        pose, sigma_mm, covariance = found
        landmarks = pose.of(face.points_mm).astype(np.float64)
        now = _Frame(frames.timestamp_ns, _far(frames, face), pose.of(points), landmarks, pose)
        reference, limits = self._reference, self._limits
        farthest = max(now.far, reference.far if reference else self._newest[0].far)
        if sigma_mm > limits.motion_other_min_mm + limits.motion_other_min_mm_at_1m * farthest**2:
            self._doubt(frames.timestamp_ns)
            return None
        if self.doubtful:
            self._fits += 1
            if self._fits < FITS:
                return None
            self._misfit_ns = None
        self._newest.append(now)
        if reference is None:
            if len(self._newest) >= GATHERED:
                self.settle()
            return None
        change = self._averaged(now, _of_the_face(_cells(now.points, surface)))
        if change is None or pose.turned_deg(reference.pose) > TURNED_MAX_DEG:
            return None
        return self._judged(reference, now, change, sigma_mm, covariance)

    def _doubt(self, time_ns: int) -> None:
        """A frame did not fit. Of the first few nobody knows which to follow: begin anew."""
        if self._reference is None:
            self.reset()
            return
        self._changes.clear()
        self._fits = 0
        self._misfit_ns = time_ns if self._misfit_ns is None else self._misfit_ns
        self.another = time_ns - self._misfit_ns >= DOUBT_S * 1e9

    def _begin(self, frames: FrameSet, points: F32, face: Face) -> None:
        if len(points) < LEAST_POINTS:
            return
        pose, size_mm = first_pose(face.points_mm)
        landmarks = pose.of(face.points_mm).astype(np.float64)
        seen = _Frame(frames.timestamp_ns, _far(frames, face), pose.of(points), landmarks, pose)
        self._start = Surface.of([seen.points], size_mm, landmarks)
        self._newest.append(seen)

    def _averaged(self, now: _Frame, change: F64) -> F64 | None:
        """The mean over the frames since the newest one that is `APART_S` older; None where there is none."""
        changes = self._changes
        if changes and not 0 < now.time_ns - changes[-1][0] <= TOGETHER_S * 1e9:
            changes.clear()
        changes.append((now.time_ns, change))
        while len(changes) > 2 and now.time_ns - changes[1][0] >= APART_S * 1e9:
            changes.popleft()
        if not APART_S * 1e9 <= now.time_ns - changes[0][0] <= TOGETHER_S * 1e9:
            return None
        stacked = np.stack([one for _, one in changes])
        count = np.isfinite(stacked).sum(axis=0)
        mean: F64 = np.where(count > 0, np.nansum(stacked, axis=0) / np.maximum(count, 1), np.nan)
        return mean

    def _judged(
        self, reference: _Reference, now: _Frame, change: F64, sigma_mm: float, covariance: F64
    ) -> Deformation | None:
        lower = reference.known & reference.known[:, ::-1] & LOWER
        if lower.sum() < LEAST_KNOWN * LOWER.sum():
            return None
        farthest = max(now.far, reference.far)
        variance = (
            reference.variance_mm2 * (farthest / reference.far) ** 4 * (1 / len(self._changes) + 1 / reference.frames)
        )
        agreed = _agreed(change)
        lower_mm, mouth_mm, cheeks_mm, chin_mm = (
            _rms(agreed, lower & region, TIED * variance) for region in (LOWER, MOUTH, CHEEKS, CHIN)
        )
        own_mm = _rms(_agreed(_put_back(change, lower)), lower, TIED * variance)
        upper = UPPER & np.isfinite(change)
        upper_mm = float(np.sqrt(np.mean(np.square(change[upper])))) if upper.any() else float("nan")
        lever = _lever(reference.surface.size_mm)
        of_registration = float(lever @ covariance @ lever) * sigma_mm**2 * INDEPENDENT
        of_cells = variance * INDEPENDENT / max(int(lower.sum()), 1)
        turned_deg, limits = now.pose.turned_deg(reference.pose), self._limits
        moved = (turned_deg / limits.motion_turned_deg) ** 2 + (
            (now.far / reference.far - 1) / limits.motion_carried
        ) ** 2
        limit_mm = (limits.motion_min_mm + limits.motion_min_mm_at_1m * farthest**2) * (1 + moved)
        excess = min(lower_mm, own_mm / limits.motion_own_share) / limit_mm
        return Deformation(
            lower_mm=lower_mm,
            upper_mm=upper_mm,
            sigma_mm=float(np.sqrt(of_registration + of_cells)),
            turned_deg=turned_deg,
            excess=excess,
            passive_excess=excess / limits.motion_passive_times,
            mouth_mm=mouth_mm,
            cheeks_mm=cheeks_mm,
            chin_mm=chin_mm,
            own_mm=own_mm,
        )


def _far(frames: FrameSet, face: Face) -> float:
    """Metres, of a camera of 600 px."""
    return face.distance_mm / 1000 * FOCAL_PX / frames.intrinsics.fx


def _reference(seen: Sequence[_Frame], size_mm: float) -> _Reference:
    landmarks = np.mean([frame.landmarks for frame in seen], axis=0)
    surface = Surface.of([frame.points for frame in seen], size_mm, landmarks)
    changes = np.stack([_of_the_face(_cells(frame.points, surface)) for frame in seen])
    known = np.isfinite(changes).sum(axis=0) >= 2
    variances = np.nanvar(changes[:, known], axis=0, ddof=0) * len(seen) / (len(seen) - 1)
    variance = float(np.median(variances)) / MEDIAN_OF_VARIANCE if known.any() else float("nan")
    return _Reference(surface, seen[-1].pose, max(frame.far for frame in seen), known, variance, len(seen))


def _cells(points: F32, surface: Surface) -> F64:
    """(ROWS, COLUMNS) mm: how far each cell of the face went back along its normal; NaN where unknown or too far."""
    apart, _, which = surface.off(points)
    cell = np.float32(surface.size_mm / CELLS)
    column = np.floor(points[which, 0] / cell + COLUMNS / 2).astype(np.intp)
    row = np.floor(points[which, 1] / cell + ABOVE).astype(np.intp)
    inside = (column >= 0) & (column < COLUMNS) & (row >= 0) & (row < ROWS)
    at = row[inside] * COLUMNS + column[inside]
    count = np.bincount(at, minlength=ROWS * COLUMNS)
    total = np.bincount(at, apart[inside], ROWS * COLUMNS)
    change: F64 = np.where(count > 0, total / np.maximum(count, 1), np.nan).reshape(ROWS, COLUMNS)
    return change


def _of_the_face(change: F64) -> F64:
    """`change` without what came or went, and what lies beside it; no cell beyond `CLIPPED_MM`."""
    strange = _grown(change < -NEARER_MM, BESIDE_NEARER) | _grown(change > FARTHER_MM, BESIDE_FARTHER)
    kept: F64 = np.where(strange, np.nan, np.clip(change, -CLIPPED_MM, CLIPPED_MM))
    return kept


def _grown(cells: NDArray[np.bool_], by: int) -> NDArray[np.bool_]:
    """`cells` and those up to `by` beside them."""
    return np.asarray(cv2.dilate(cells.astype(np.uint8), np.ones((2 * by + 1, 2 * by + 1), np.uint8)) > 0)


def _agreed(change: F64) -> F64:
    """(ROWS, COLUMNS): of each cell and its mirror image the lesser, 0 where they differ in sign or one is unknown."""
    mirrored = change[:, ::-1]
    agree = np.isfinite(change) & np.isfinite(mirrored) & (np.sign(change) == np.sign(mirrored))
    lesser: F64 = np.where(agree, np.minimum(np.abs(change), np.abs(mirrored)), 0.0)
    return lesser


def _put_back(change: F64, region: NDArray[np.bool_]) -> F64:
    """`change` without what moving and nodding all of `region` explains."""
    known = region & np.isfinite(change) & np.isfinite(change[:, ::-1])
    if known.sum() < 2:
        return change
    down = np.arange(ROWS, dtype=np.float64)[:, None] + np.zeros(COLUMNS)
    design = np.column_stack([np.ones(int(known.sum())), down[known]])
    (offset, slope), *_ = np.linalg.lstsq(design, change[known], rcond=None)
    return np.asarray(change - offset - slope * down, np.float64)


def _rms(agreed: F64, region: NDArray[np.bool_], noise_mm2: float) -> float:
    if not region.any():
        return 0.0
    return float(np.sqrt(max(float(np.mean(np.square(agreed[region]))) - noise_mm2, 0.0)))


def _lever(size_mm: float) -> F64:
    """(6,): what a turn and a shift do to the depth of the middle of the lower face."""
    middle = np.array([0.0, LOWER_MIDDLE * size_mm, 0.0])
    along = np.array([0.0, 0.0, 1.0])
    return np.concatenate([np.cross(middle, along), along])


def _regions() -> dict[str, NDArray[np.bool_]]:
    """In shares of the way from eyes to mouth."""
    row, column = np.mgrid[0:ROWS, 0:COLUMNS]
    x, y = np.abs(column - COLUMNS / 2 + 0.5) / CELLS, (row - ABOVE + 0.5) / CELLS
    # away from the edge of the face: a mask ends there, and beside it its wearer's own jaw moves
    face = (x / 0.9) ** 2 + ((y - 0.4) / 1.15) ** 2 < 1
    eyes = ((x - 0.47) / 0.24) ** 2 + (y / 0.16) ** 2 < 1
    return {
        "upper": (y < 0.5) & (y > -0.55) & (x < 0.8) & ~eyes,
        "mouth": face & (x < 0.45) & (y > 0.75) & (y < 1.25),
        "cheeks": face & (x > 0.4) & (x < 0.78) & (y > 0.6) & (y < 1.15),
        "chin": face & (x < 0.45) & (y > 1.25) & (y < 1.55),
    }


_REGIONS = _regions()
UPPER, MOUTH, CHEEKS, CHIN = (_REGIONS[name] for name in ("upper", "mouth", "cheeks", "chin"))
LOWER = MOUTH | CHEEKS | CHIN
LOWER_MIDDLE = 1.05
