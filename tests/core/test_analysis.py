"""The order of a look: the first doubt ends it, identity comes last, and nobody is named who was not claimed."""

import math
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.camera import FrameSet
from firmware.core.analysis import IDENTIFIED, Analyst, Finding
from firmware.core.reasons import SENTENCES
from firmware.core.watch import DECADE
from firmware.liveness.evidence import PENDING, Gate
from firmware.liveness.look import Basis, Look
from firmware.liveness.verdict import Verdict
from firmware.vision.detect import Detector
from firmware.vision.embed import Embedded, FaceEmbedder
from firmware.vision.face import Face, NoFace, Reason
from firmware.vision.fusion import Judge
from firmware.vision.policy import load_policy
from firmware.vision.templates import Templates, make_templates
from tests.vision.units import calibration, towards, unit

PAYMENT = load_policy("payment")[0]
JUDGE = Judge(calibration(), PAYMENT, PAYMENT.claimed)
ADA, BOB = Embedded(unit(1), unit(2)), Embedded(unit(3), unit(4))
FACE = Face((0, 0, 1, 1), np.zeros((5, 2), np.float32), 0.9, 450.0, np.zeros((5, 3), np.float32), 0.0, 0.0, 0.0, 63.0)
FRAMES = cast("FrameSet", None)


def templates(who: Embedded) -> Templates:
    return make_templates(dict.fromkeys(("front", "left", "right", "up", "down"), who))


class Rig:
    """Every part of a look, and which of them were asked."""

    def __init__(
        self, fresh: str = "", face: Face | NoFace = FACE, verdict: str = "", shows: Embedded | None = ADA
    ) -> None:
        self.asked: list[str] = []
        self._gate = Gate("fresh", 0.0, "", not fresh, fresh)
        self._verdict = Verdict(verdict, (self._gate,), (), 1.0)
        detector = SimpleNamespace(find=lambda _: self._note("detect", face))
        embedder = SimpleNamespace(embed=lambda *_: self._note("embed", shows))
        self.analyst = Analyst(cast("Detector", detector), cast("FaceEmbedder", embedder), cast("Basis", None), JUDGE)
        self.look = cast(
            "Look",
            SimpleNamespace(
                fresh=lambda *_: self._note("fresh", self._gate),
                weigh=lambda *_: self._note("weigh", self._verdict),
                interrupted=lambda: self._note("interrupted", None),
            ),
        )

    def _note(self, what: str, answer: Any) -> Any:
        self.asked.append(what)
        return answer

    def found(self, claimed: Templates | None = None) -> Finding:
        finding = self.analyst.look(FRAMES, self.look, 0)
        return finding if claimed is None else self.analyst.recognise(finding, claimed)


def test_a_stale_frame_is_not_even_searched_for_a_face_and_begins_the_evidence_anew() -> None:
    rig = Rig(fresh="stale_frame")
    assert rig.found().reason == "stale_frame"
    assert rig.asked == ["fresh", "interrupted"]


def test_a_frame_without_a_face_begins_the_evidence_anew() -> None:
    rig = Rig(face=NoFace(Reason.NO_FACE))
    assert rig.found().reason == "no_face"
    assert rig.asked == ["fresh", "detect", "interrupted"]


@given(st.sampled_from(sorted(set(SENTENCES) - set(IDENTIFIED))))
def test_a_face_that_any_check_speaks_against_is_never_embedded_nor_matched(reason: str) -> None:
    rig = Rig(verdict=reason)
    finding = rig.found(templates(ADA))
    assert finding.reason == reason
    assert finding.embedded is None
    assert finding.match is None
    assert "embed" not in rig.asked


@pytest.mark.parametrize("verdict", IDENTIFIED)
def test_the_claimed_person_is_matched_while_evidence_is_gathered_and_after(verdict: str) -> None:
    finding = Rig(verdict=verdict).found(templates(ADA))
    assert finding.reason == verdict
    assert finding.match is not None
    assert finding.match.matched


@pytest.mark.parametrize("verdict", ["", PENDING])
@pytest.mark.parametrize(
    ("shows", "reason"),
    [
        (BOB, "not_recognised"),
        (Embedded(ADA.ir, BOB.depth), "not_recognised"),
        (Embedded(ADA.ir, None), "modality_missing"),
        (Embedded(), "modality_missing"),
        (None, "modality_missing"),
    ],
)
def test_whoever_else_it_is_is_told_at_once_however_alive(verdict: str, shows: Embedded | None, reason: str) -> None:
    finding = Rig(verdict=verdict, shows=shows).found(templates(ADA))
    assert finding.reason == reason or {finding.reason, reason} == {"not_recognised", "modalities_disagree"}
    assert finding.reason not in ("", PENDING)


@given(st.integers(0, 10_000), st.floats(0.0, 0.3))
def test_a_stranger_is_not_given_the_nearest_enrolled_name(seed: int, alike: float) -> None:
    """Somebody is always the nearest. Only the claimed one is asked, and resembling them a little is not being them."""
    nearest = Embedded(towards(unit(1), alike, seed + 50), towards(unit(2), alike, seed + 70))
    assert Rig(shows=nearest).found(templates(ADA)).reason == "not_recognised"


@pytest.mark.parametrize("passed", [False, True])
def test_a_finding_says_whether_motion_was_shown(passed: bool) -> None:
    """It is what the authorization states; a gate that did not hold states nothing."""
    rig = Rig()
    gate = Gate("dynamic", 1.2, "", passed, "" if passed else PENDING)
    rig._verdict = Verdict("" if passed else PENDING, (rig._gate, gate), (), 1.0)
    assert rig.found().dynamic is passed
    assert not Rig().found().dynamic


def test_an_enrolled_person_is_nobody_but_who_they_claim_to_be() -> None:
    assert Rig(shows=BOB).found(templates(ADA)).reason == "not_recognised"
    assert Rig(shows=BOB).found(templates(BOB)).reason == ""


def test_each_dispute_asks_for_ten_times_the_evidence() -> None:
    """By the units' calibration 6 nats are a match, and these two are worth 6 + ln 50."""
    llr = 6.0 + math.log(50)
    probe = Embedded(towards(unit(1), (llr / 2 + 8) / 20), towards(unit(2), (llr / 2 + 8) / 20))
    analyst = Analyst(cast("Detector", None), cast("FaceEmbedder", None), cast("Basis", None), JUDGE)
    found = [
        analyst.recognise(Finding("", face=FACE, embedded=probe), templates(ADA), disputes * DECADE).reason
        for disputes in range(4)
    ]
    assert found == ["", "", "not_recognised", "not_recognised"]
