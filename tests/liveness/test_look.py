"""A look gathers its evidence over good frames that follow each other, and any doubt begins it anew. Simulated."""

import math
import random
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import msgspec
import pytest

from drivers.camera import Emitter, FrameSet
from firmware.liveness import look as looking
from firmware.liveness.code import SYMBOLS, Drawn
from firmware.liveness.dynamic import Dynamic
from firmware.liveness.evidence import PENDING, Cue, Gate
from firmware.liveness.look import REMEMBERED, Basis, Look, load_basis
from firmware.liveness.policy import POLICIES, CueName, PolicyName
from firmware.liveness.verdict import ATTENTIVE, GATES, Verdict
from firmware.vision.detect import Detector
from firmware.vision.face import Face
from firmware.vision.networks import DETECTOR, load_network
from hil.sensor.stage import James, Person, Stage, Subject, write_stage
from hil.sensor.virtual_camera import VirtualCamera, VirtualCameraOptions

FRAMES = 18
STALE_S = 0.5


@dataclass(frozen=True)
class Film:
    """Frames of somebody under a draw, and the face in each."""

    drawn: Drawn
    shots: list[tuple[FrameSet, Face]]


def film(subject: Subject, folder: Path, detector: Detector, data: str = "", count: int = FRAMES) -> Film:
    write_stage(folder / "stage.json", Stage(subject=subject))
    now_ns = 0

    def wait(seconds: float) -> None:
        nonlocal now_ns
        now_ns += round(seconds * 1e9)

    drawn = Drawn(lambda n: bytes(range(17, 17 + n)))
    options = VirtualCameraOptions(stage=str(folder / "stage.json"), data=data or None)
    with closing(VirtualCamera(options, lambda: now_ns, wait)) as camera:
        camera.start([Emitter(flood=level, dots=1.0) for level in drawn.levels])
        frames = [camera.read(1.0) for _ in range(count)]
    faces = [detector.find(shot) for shot in frames]
    return Film(drawn, [(shot, face) for shot, face in zip(frames, faces, strict=True) if isinstance(face, Face)])


@pytest.fixture(scope="module")
def detector(models_dir: Path) -> Detector:
    return Detector(load_network(DETECTOR, models_dir))


@pytest.fixture(scope="module")
def person(tmp_path_factory: pytest.TempPathFactory, detector: Detector) -> Film:
    """Somebody made up, before the plain sensor."""
    found = film(Person(94_010), tmp_path_factory.mktemp("stage"), detector)
    assert len(found.shots) == FRAMES
    return found


def weighed(look: Look, shots: list[tuple[FrameSet, Face]]) -> Iterator[Verdict]:
    for shot, face in shots:
        yield look.weigh(shot, face, look.fresh(shot, shot.timestamp_ns))


def without_cues(basis: Basis) -> Basis:
    """So that it is the gates alone that decide."""
    return replace(basis, policy=msgspec.structs.replace(basis.policy, cues=(), llr_min=0.0, llr_sure=0.0))


def door() -> Basis:
    return without_cues(load_basis("door"))


@pytest.mark.parametrize(("name", "first"), [("door", 7), ("demo", 13)])
def test_a_person_under_the_draw_is_alive_once_the_code_is_answered_and_not_before(
    person: Film, name: PolicyName, first: int
) -> None:
    look = Look(without_cues(load_basis(name)), person.drawn, STALE_S)
    reasons = [verdict.reason for verdict in weighed(look, person.shots)]
    assert reasons == [PENDING] * first + [""] * (FRAMES - first)


def test_the_same_frames_under_another_draw_are_never_alive(person: Film) -> None:
    for number in range(20):
        other = Drawn(random.Random(number).randbytes)
        verdicts = list(weighed(Look(door(), other, STALE_S), person.shots))
        assert not any(verdict.alive for verdict in verdicts)


def test_motion_of_a_frame_that_anything_speaks_against_is_not_looked_at(person: Film) -> None:
    """Attack: somebody else moves in frames that fail, so that nobody asks who it is."""
    seen: list[int] = []

    def see(frames: FrameSet, _: Face, *, ask: bool) -> Gate:
        assert ask
        seen.append(next(i for i, (shot, _) in enumerate(person.shots) if shot is frames))
        return Gate("dynamic", math.nan, "", False, PENDING)

    basis = without_cues(load_basis("demo"))
    asked = replace(basis, policy=basis.policy.asking())
    look = Look(asked, Drawn(random.Random(1).randbytes), STALE_S, cast("Dynamic", SimpleNamespace(see=see)))
    reasons = [verdict.reason for verdict in weighed(look, person.shots)]
    assert {"code_wrong", PENDING} <= set(reasons)
    assert seen == [i for (i, reason) in enumerate(reasons) if reason == PENDING]


@pytest.mark.parametrize("name", ["payment", "payment_high"])
def test_a_static_james_is_refused_once_dynamic_evidence_is_required(
    name: PolicyName, data_dir: Path, tmp_path: Path, detector: Detector
) -> None:
    """Every gate that a static scan can pass holds, and all of the code is answered: it is still no yes."""
    james = film(James(), tmp_path, detector, str(data_dir))
    basis = without_cues(load_basis(name))
    last = list(weighed(Look(basis, james.drawn, STALE_S), james.shots))[-1]
    assert [gate.name for gate in last.gates if gate.passed] == [*GATES, ATTENTIVE]
    assert last.reason == "gate_unknown"
    still = replace(basis, policy=msgspec.structs.replace(basis.policy, dynamic="asked", pin=False))
    assert list(weighed(Look(still, james.drawn, STALE_S), james.shots))[-1].alive, "nothing else was missing"


@pytest.mark.parametrize("lost", ["no face", "a gate"])
def test_a_frame_in_doubt_begins_the_evidence_anew(person: Film, lost: str, monkeypatch: pytest.MonkeyPatch) -> None:
    look = Look(door(), person.drawn, STALE_S)
    assert [v.reason for v in weighed(look, person.shots[:6])] == [PENDING] * 6
    if lost == "no face":
        look.interrupted()
    else:
        with monkeypatch.context() as patched:
            patched.setattr(looking, "geometry_gates", lambda *_: (Gate("relief", 0.1, "", False, "flat"),))
            assert [v.reason for v in weighed(look, person.shots[6:7])] == ["flat"]
    assert [v.reason for v in weighed(look, person.shots[7:15])] == [PENDING] * 7 + [""]


def test_frames_past_the_draw_are_answered_by_nothing(person: Film) -> None:
    look = Look(door(), person.drawn, STALE_S)
    late = [(replace(shot, sequence=SYMBOLS + number), face) for number, (shot, face) in enumerate(person.shots)]
    assert {verdict.reason for verdict in weighed(look, late)} == {"gate_unknown"}


@pytest.mark.parametrize("missing", ["flood_response", "ambient"])
def test_a_camera_that_cannot_say_how_the_face_returns_light_is_refused(person: Film, missing: str) -> None:
    if missing == "ambient":
        shots = [(replace(shot, ambient=None), face) for shot, face in person.shots]
    else:
        shots = [
            (replace(shot, camera=msgspec.structs.replace(shot.camera, flood_response=None)), face)
            for shot, face in person.shots
        ]
    assert {verdict.reason for verdict in weighed(Look(door(), person.drawn, STALE_S), shots)} == {"gate_unknown"}


def cue_says(values: list[float], monkeypatch: pytest.MonkeyPatch, person: Film) -> list[tuple[Cue, ...]]:
    """What the one cue of a policy says, frame by frame, where it measures these values."""
    basis = load_basis("door")
    basis = replace(basis, policy=msgspec.structs.replace(basis.policy, cues=("photometric",), llr_min=-100.0))
    coming = iter(values)

    def measured(*_: object) -> dict[CueName, float]:
        return {"photometric": next(coming)}

    monkeypatch.setattr(looking, "measure", measured)
    return [verdict.cues for verdict in weighed(Look(basis, person.drawn, STALE_S), person.shots[: len(values)])]


def test_a_cue_is_its_median_over_the_good_frames_that_could_measure_it(
    person: Film, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = cue_says([1.0, math.nan, 3.0, 100.0, 2.0], monkeypatch, person)
    assert [cue.value for (cue,) in said] == [1.0, 1.0, 2.0, 3.0, 2.5]


def test_one_frame_of_luck_does_not_carry_a_cue(person: Film, monkeypatch: pytest.MonkeyPatch) -> None:
    *_, (last,) = cue_says([0.0] * 6 + [1e9], monkeypatch, person)
    assert last.value == 0.0


def test_what_is_kept_of_a_look_is_bounded(person: Film, monkeypatch: pytest.MonkeyPatch) -> None:
    look = Look(door(), person.drawn, STALE_S)
    monkeypatch.setattr(looking, "measure", lambda *_: {"photometric": 0.0})
    for _ in range(4):
        list(weighed(look, person.shots))
    assert len(look._values) <= REMEMBERED


def test_a_basis_says_which_it_is() -> None:
    digests = {load_basis(name).digest for name in POLICIES}
    assert len(digests) == len(POLICIES)
    basis = load_basis("payment")
    assert basis.told == f"liveness policy payment, digest {basis.digest.hex()[:16]}"
