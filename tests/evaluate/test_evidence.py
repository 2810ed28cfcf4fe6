"""The frames and the cohort behind the page of evidence."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from firmware.vision.canonical import Canonical
from hil.evaluate import cohort as module
from hil.evaluate import frames as frames_module
from hil.evaluate.cohort import gather, outline, usable
from hil.evaluate.frames import HOLE, Frames, frames_of, restored
from hil.evaluate.presentations import (
    EYES_ONLY,
    GUIDED,
    HEADLINE,
    ICT,
    SETS,
    STRONG_PROBES,
    TRIES,
    PeopleSet,
    looks,
    who,
)
from hil.people.actor import NEUTRAL
from hil.people.generators import EVALUATION_SEEDS
from hil.people.sliders import GROWN_AGE

SMALL = PeopleSet("small", "makehuman", 3)


def test_evaluation_people_only_and_enough_adults_for_the_headline() -> None:
    assert all(seed in EVALUATION_SEEDS for people in SETS for seed in (people.seeds[0], people.seeds[-1]))
    assert sum(who(seed).age_years >= GROWN_AGE for seed in HEADLINE.seeds) >= 505
    assert HEADLINE.z_mm == (300.0, 700.0)
    assert HEADLINE.sensor == "structured-light"


def test_sets_that_differ_in_the_sensor_show_the_same_people_alike() -> None:
    seed = ICT.seeds[0]
    alike = [people for people in SETS if people.z_mm == HEADLINE.z_mm]
    assert len(alike) == 6
    assert all(looks(people, seed) == looks(HEADLINE, seed) for people in alike)


def test_guided_poses_are_at_rest_and_probes_are_strong() -> None:
    for seed in HEADLINE.seeds[:40]:
        made = looks(HEADLINE, seed)
        assert [look.kind for look in made].count("enrol") == len(GUIDED) * len(TRIES)
        assert all((look.expression == NEUTRAL) == (look.kind != "strong") for look in made)
        strong = [look for look in made if look.kind == "strong"]
        assert len(strong) == STRONG_PROBES
        for look in strong:
            moved = {name: abs(amount) for name, amount in look.expression.weights().items() if amount}
            assert min(moved.values()) >= 0.5
            assert set(moved) - set(EYES_ONLY)
            assert abs(look.pose.yaw_deg) <= 20
            assert 300 <= look.pose.z_mm <= 700


def test_frames_are_taken_once_and_feed_the_network_what_the_firmware_would(
    tmp_path: Path, models_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[Canonical] = []
    stored = frames_module.stored

    def noted(face: Canonical) -> NDArray[np.int16]:
        kept.append(face)
        return stored(face)

    monkeypatch.setattr(frames_module, "stored", noted)
    seed = SMALL.seeds[0]
    made = frames_of(SMALL, seed, tmp_path)
    good = np.flatnonzero(made.reason == "")
    assert len(good) >= 8
    assert len(kept) >= len(good)
    worst = np.abs(made.channels(int(good[0])) - kept[0].channels()).max()
    assert worst < 2e-3  # a stored step is 0.002 mm
    monkeypatch.setattr(frames_module, "_take", lambda *_: pytest.fail("taken again"))
    again = frames_of(SMALL, seed, tmp_path)
    assert (outline(SMALL, seed, tmp_path).reason == made.reason).all()
    assert (again.relief == made.relief).all()
    assert frames_module.changed_sources(SMALL, tmp_path) == []
    assert not list(tmp_path.rglob("*.partial*"))


def test_a_hole_stays_a_hole() -> None:
    empty = restored(np.full((112, 96), HOLE, np.int16))
    assert not empty.known.any()
    assert (empty.channels() == 0).all()


def a_person(reasons: dict[int, str], gates: dict[int, str]) -> Frames:
    """Five guided frames, two strong probes and one at rest; reasons and gates by frame."""
    count = len(GUIDED) + 3
    reason = np.array([reasons.get(index, "") for index in range(count)], "U20")
    gate = np.array([gates.get(index, "") for index in range(count)], "U20")
    nothing = np.zeros((count, 1, 1))
    return Frames(
        relief=nothing.astype(np.int16),
        crop=nothing.astype(np.uint8),
        reason=reason,
        gate=gate,
        kind=np.array(["enrol"] * len(GUIDED) + ["strong", "strong", "neutral"]),
        turn=np.arange(count),
        pose=np.zeros((count, 6)),
        moved_mm=np.zeros(count),
    )


def test_failures_are_counted_and_whom_a_gate_refuses_takes_part(monkeypatch: pytest.MonkeyPatch) -> None:
    people = {
        SMALL.seeds[0]: a_person({2: "not_frontal"}, {}),
        SMALL.seeds[1]: a_person({1: "flat", 5: "too_near"}, {1: "flat"}),
        SMALL.seeds[2]: a_person({}, {6: "covered"}),
    }
    monkeypatch.setattr(module, "outline", lambda _, seed, __: people[seed])
    rng = np.random.default_rng(0)
    found = []
    for number, seed in enumerate(SMALL.seeds):
        rows = np.where(np.arange(128) == number, 1.0, 0.0) + rng.normal(0, 0.01, (8, 128))
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        rows[~usable(people[seed])] = np.nan
        found.append(rows.astype(np.float32))
    made = gather(SMALL, {"depth": found}, Path())
    assert made.enrolled.tolist() == [False, True, True]
    assert made.not_enrolled == {"not_frontal": 1}
    assert made.refused == {"flat": 1}
    assert made.not_acquired == {"too_near": 1}
    assert made.gates == {"covered": 1}
    assert (made.asked, len(made.owner)) == (9, 8)

    scores = made.cosines("depth")
    assert scores.shape == (2, 8)
    everybody = np.ones(3, bool)
    seen = made.trials(scores, everybody, made.kind == "strong")
    assert (int(seen.same.sum()), int((~seen.same).sum())) == (3, 3)  # of 1 and 2 probes, two people enrolled
    assert seen.genuine.min() > 0.9 > 0.1 > seen.impostor.max()
    nobody = made.trials(scores, np.array([True, True, False]), made.kind == "strong")
    assert set(nobody.first.tolist()) == {1}
