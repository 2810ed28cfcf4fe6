"""Cue `network`: what it is shown, when it says nothing, which way it points, what it costs."""

import math
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from drivers.camera import FrameSet
from drivers.npu.interface import Network
from firmware.liveness.cues import measure
from firmware.liveness.cues.network import (
    CHANNELS,
    COLUMNS,
    NETWORK,
    ROWS,
    SUREST,
    View,
    alive,
    ellipse,
    liveness_network,
    view,
)
from firmware.liveness.look import load_basis
from firmware.liveness.patch import patch
from firmware.liveness.policy import POLICIES, load_policy
from firmware.vision.face import Face
from hil.artefacts.instrument import Attacker
from hil.artefacts.species import SPECIES
from hil.people.generators import make_actor
from hil.rig.render import living
from models.load import load_network
from tests.liveness import cue_frames
from tests.liveness.test_cues import filmed

GREY = np.full((320, 320), 0.5, np.float32)
BUDGET_S = 0.003


@pytest.fixture(scope="module")
def network() -> Network:
    return load_network(NETWORK)


def _seen(frames: FrameSet, face: Face) -> View:
    region = patch(frames, face)
    found = None if region is None else view(frames, face, region)
    assert found is not None
    return found


def _value(frames: FrameSet, face: Face, network: Network) -> float:
    region = patch(frames, face)
    assert region is not None
    return liveness_network(frames, face, region, network)


def test_a_face_is_shown_at_one_scale_whatever_the_distance() -> None:
    near, far = (
        _seen(cue_frames.of(cue_frames.ball(distance), GREY), cue_frames.face_at(distance)) for distance in (420, 640)
    )
    both = ellipse() & (near.known > 0) & (far.known > 0)
    assert np.abs(near.relief_mm - far.relief_mm)[both].mean() < 1.0
    assert near.relief_mm[ROWS // 2, COLUMNS // 2] > near.relief_mm[ROWS // 2, 4] + 10, "nearer is larger"
    assert np.abs(near.light - far.light)[both].mean() < 0.08


def test_what_the_network_is_fed_is_bounded_and_a_hole_is_nothing() -> None:
    frames, face = cue_frames.of(cue_frames.ball(450.0), GREY), cue_frames.face_at(450.0)
    depth = frames.depth_mm.copy()
    depth[150:170, 150:170] = np.nan
    fed = _seen(replace(frames, depth_mm=depth), face).channels()
    assert fed.shape == (1, CHANNELS, ROWS, COLUMNS)
    assert fed.dtype == np.float32
    assert np.abs(fed).max() <= 1
    hole = fed[0, 3] == 0
    assert hole.any()
    assert not fed[0, 2][hole].any()
    assert not fed[0, 0][hole].any()


@pytest.mark.parametrize("level", [0.512, 0.8])
def test_how_bright_the_flood_is_changes_nothing_it_is_fed(level: float) -> None:
    frames, face = cue_frames.of(cue_frames.ball(450.0), GREY), cue_frames.face_at(450.0)
    assert frames.ambient is not None
    dark = frames.ambient.astype(np.float32)
    dimmed = replace(frames, ir=np.clip(dark + level * (frames.ir - dark), 0, 255).round().astype(np.uint8))
    one, other = (_seen(each, face).channels()[0, :, ellipse()] for each in (frames, dimmed))
    assert np.abs(one - other).mean() < 0.02


def test_without_depth_or_dark_exposure_or_light_it_says_nothing(network: Network) -> None:
    frames, face = cue_frames.of(cue_frames.ball(450.0), GREY), cue_frames.face_at(450.0)
    assert math.isfinite(_value(frames, face, network))
    for poor in (
        replace(frames, ambient=None),
        replace(frames, depth_mm=np.full((320, 320), np.nan, np.float32)),
        replace(frames, ir=np.zeros((320, 320), np.uint8)),
        replace(frames, ambient=frames.ir),
    ):
        assert math.isnan(_value(poor, face, network))


def test_it_is_measured_only_where_a_network_is_handed_in(network: Network) -> None:
    frames, face = cue_frames.of(cue_frames.ball(450.0), GREY), cue_frames.face_at(450.0)
    region = patch(frames, face)
    assert "network" not in measure(frames, face, region, 1.0)
    assert "network" in measure(frames, face, region, 1.0, network)


def test_a_network_is_loaded_only_for_policies_that_weigh_it() -> None:
    assert "network" not in load_policy("demo")[0].cues
    for name in POLICIES:
        assert (load_basis(name).network is not None) == ("network" in load_policy(name)[0].cues)


@given(st.lists(st.floats(-1e4, 1e4, width=32), min_size=2, max_size=9))
def test_the_value_is_bounded_and_rises_with_the_score_of_life(scores: list[float]) -> None:
    given_scores: NDArray[np.float32] = np.array(scores, np.float32)
    more = given_scores.copy()
    more[0] += 1
    assert -SUREST <= alive(given_scores) <= alive(more) <= SUREST


def test_a_living_face_lies_above_its_print_and_its_plaster(data_dir: Path, models_dir: Path, network: Network) -> None:
    """The polarity: larger is more alive. Simulated; a frame each."""
    del models_dir
    person = make_actor("ict", 2_900_001, data_dir=data_dir)
    face = _value(*filmed(living(person, Attacker(1)).performance), network)
    for species in ("flat_print_toner", "mannequin"):
        assert face > _value(*filmed(SPECIES[species].perform(person, Attacker(1))), network) + 1


def test_it_costs_no_more_than_three_milliseconds(data_dir: Path, models_dir: Path, network: Network) -> None:
    del models_dir
    person = make_actor("ict", 2_900_001, data_dir=data_dir)
    frames, face = filmed(living(person, Attacker(1), distance_mm=450).performance)
    region = patch(frames, face)
    assert region is not None
    taken = []
    for _ in range(25):
        began = time.process_time()
        liveness_network(frames, face, region, network)
        taken.append(time.process_time() - began)
    assert min(taken) <= BUDGET_S
