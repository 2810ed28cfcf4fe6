"""A frame that does not follow from the one before is told so, and so is one that has none before."""

import dataclasses

import numpy as np
import pytest
from numpy.typing import NDArray

from drivers.camera import FrameSet
from firmware.liveness.coherence import Coherence
from firmware.liveness.evidence import PENDING, Gate
from firmware.liveness.limits import load_limits
from firmware.liveness.patch import patch
from firmware.vision.face import Face
from tests.liveness.shapes import DISTANCE_MM, K, face_at_centre, frames_of, head_relief, metric_xy

LIMITS, _ = load_limits()
FRAME_NS = 66_666_667


def noisy(relief_mm: NDArray[np.float64], number: int, after_ns: int = FRAME_NS) -> FrameSet:
    """Frame `number` of a sequence."""
    noise = np.random.default_rng(number).normal(0, 0.6, relief_mm.shape)
    return frames_of(relief_mm + noise, sequence=number, timestamp_ns=number * after_ns, seed=number)


def moved(face: Face, *, x_mm: float = 0.0, closer: float = 1.0) -> Face:
    """The same face elsewhere; `closer` scales it in the picture and not in depth."""
    points_mm = face.points_mm.copy()
    points_mm[:, :2] *= closer
    points_mm[:, 0] += x_mm
    points = points_mm[:, :2] / DISTANCE_MM * K.fx + np.array([K.cx, K.cy])
    return dataclasses.replace(
        face,
        points_mm=points_mm,
        points_px=points.astype(np.float32),
        ipd_mm=float(np.linalg.norm(points_mm[1] - points_mm[0])),
    )


def judge(coherence: Coherence, frames: FrameSet, face: Face | None = None) -> Gate:
    """One more good frame."""
    face = face or face_at_centre()
    return coherence.check(frames, face, patch(frames, face))


def test_first_frame_has_nothing_to_follow_from() -> None:
    gate = judge(Coherence(LIMITS), noisy(head_relief(), 0))
    assert (gate.passed, gate.reason) == (False, PENDING)


def test_still_head_follows_from_itself() -> None:
    coherence = Coherence(LIMITS)
    gates = [judge(coherence, noisy(head_relief(), number)) for number in range(5)]
    assert [gate.passed for gate in gates] == [False, True, True, True, True]
    assert max(gate.value for gate in gates[1:]) < 0.3


def test_opening_mouth_is_the_same_face() -> None:
    coherence = Coherence(LIMITS)
    x, y = metric_xy()
    opened = head_relief() + 25 * ((np.abs(x) < 22) & (np.abs(y - 40) < 14))
    judge(coherence, noisy(head_relief(), 0))
    assert judge(coherence, noisy(opened, 1)).passed


def test_after_a_gap_or_a_bad_frame_the_evidence_begins_anew() -> None:
    coherence = Coherence(LIMITS)
    judge(coherence, noisy(head_relief(), 0, 600_000_000))
    assert judge(coherence, noisy(head_relief(), 1, 600_000_000)).reason == PENDING
    coherence.reset()
    assert judge(coherence, noisy(head_relief(), 2, 600_000_000)).reason == PENDING


def test_frame_that_goes_back_in_time_follows_from_nothing() -> None:
    coherence = Coherence(LIMITS)
    judge(coherence, noisy(head_relief(), 3))
    assert not judge(coherence, noisy(head_relief(), 2)).passed


def test_face_spliced_in_elsewhere_is_incoherent() -> None:
    coherence = Coherence(LIMITS)
    judge(coherence, noisy(head_relief(), 0))
    assert judge(coherence, noisy(head_relief(), 1), moved(face_at_centre(), x_mm=80)).reason == "incoherent"


def test_face_that_turns_into_paper_is_incoherent() -> None:
    coherence = Coherence(LIMITS)
    judge(coherence, noisy(head_relief(), 0))
    assert judge(coherence, noisy(np.zeros((480, 640)), 1)).reason == "incoherent"


@pytest.mark.parametrize("closer", [0.75, 1.3])
def test_picture_that_grows_while_its_depth_does_not_is_incoherent(closer: float) -> None:
    coherence = Coherence(LIMITS)
    judge(coherence, noisy(head_relief(), 0))
    assert judge(coherence, noisy(head_relief(), 1), moved(face_at_centre(), closer=closer)).reason == "incoherent"


def test_frame_without_depth_or_patch_is_unknown() -> None:
    coherence = Coherence(LIMITS)
    judge(coherence, noisy(head_relief(), 0))
    assert judge(coherence, noisy(np.full((480, 640), np.nan), 1)).reason == "gate_unknown"
    assert coherence.check(noisy(head_relief(), 2), face_at_centre(), None).reason == "gate_unknown"
