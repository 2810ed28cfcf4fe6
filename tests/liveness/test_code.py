"""What the emitter code lets through and what not: streams by name, on patches of a made-up face."""

import math
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.camera import CameraInfo, Emitter, FrameSet, Intrinsics
from firmware.liveness.code import LEVELS, SYMBOLS, CodeReader, Drawn, brightness
from firmware.liveness.evidence import PENDING, Gate
from firmware.liveness.patch import Patch

SIDE = 8
CAMERA = CameraInfo("S", "1", "", True)
INTRINSICS = Intrinsics(SIDE, SIDE, 600.0, 600.0, SIDE / 2, SIDE / 2)
DOOR, PAYMENT = 12, 24

level = st.sampled_from(LEVELS)
seeds = st.integers(0, 2**32)
whole_draws = settings(max_examples=30)


@cache
def frame(sequence: int) -> FrameSet:
    picture = np.zeros((SIDE, SIDE), np.uint8)
    depth = np.full((SIDE, SIDE), 500, np.float32)
    # the camera may claim whatever it likes of the light
    return FrameSet(sequence, sequence, picture, depth, INTRINSICS, Emitter(0.3, 1), 1000, 1.0, CAMERA)


def face(light: float, distance_mm: float = 500.0, noise: float = 0.0, seed: int = 0) -> Patch:
    """A cheek square to the lens that sends back `light` of what white would."""
    v, u = np.mgrid[:SIDE, :SIDE].astype(np.float32)
    rays = np.stack([(u - SIDE / 2) / 600, (v - SIDE / 2) / 600], axis=2).astype(np.float32)
    depth = np.full((SIDE, SIDE), distance_mm, np.float32)
    empty = np.zeros((SIDE, SIDE), np.float32)
    made = Patch(u, v, np.ones((SIDE, SIDE), bool), empty, empty, empty, depth, rays, 1)
    rng = np.random.default_rng(seed)
    lit = made.expected * np.float32(light) * (1 + noise * rng.standard_normal((SIDE, SIDE), dtype=np.float32))
    return replace(made, lit=lit)


def drawn(seed: int) -> Drawn:
    return Drawn(random.Random(seed).randbytes)


def read(emitted: Drawn, bits: int, lights: Iterable[tuple[int, float]]) -> list[Gate]:
    reader = CodeReader(emitted, bits)
    return [reader.read(frame(sequence), face(light)) for sequence, light in lights]


def answered(emitted: Drawn, albedo: float = 0.5) -> list[tuple[int, float]]:
    return [(sequence, albedo * level) for sequence, level in enumerate(emitted.levels)]


@whole_draws
@given(seeds, st.floats(0.01, 1.0), st.sampled_from((DOOR, PAYMENT, 9)))
def test_a_face_under_the_own_light_answers_however_bright_it_is(seed: int, albedo: float, bits: int) -> None:
    gates = read(drawn(seed), bits, answered(drawn(seed), albedo))
    needed = math.ceil(bits / 2)
    assert [gate.reason for gate in gates] == [PENDING] * needed + [""] * (SYMBOLS - needed)
    assert [gate.value for gate in gates] == list(range(SYMBOLS))
    assert all(gate.passed == (gate.value >= needed) for gate in gates)
    assert gates[0].limit == f">= {needed} symbols"


@whole_draws
@given(seeds, st.lists(st.floats(-0.04, 0.04), min_size=SYMBOLS, max_size=SYMBOLS))
def test_a_face_that_moves_and_shines_a_little_still_answers(seed: int, off: list[float]) -> None:
    lights = [
        (sequence, light * math.exp(wrong)) for (sequence, light), wrong in zip(answered(drawn(seed)), off, strict=True)
    ]
    assert read(drawn(seed), PAYMENT, lights)[-1].passed


@whole_draws
@given(seeds, st.floats(0.98, 1.02))
def test_a_slow_drift_is_followed(seed: int, drift: float) -> None:
    lights = [(sequence, light * drift**sequence) for sequence, light in answered(drawn(seed))]
    assert read(drawn(seed), PAYMENT, lights)[-1].passed


@whole_draws
@given(seeds, st.sets(st.integers(0, SYMBOLS - 1), min_size=13))
def test_skipped_frames_cost_only_themselves(seed: int, judged: set[int]) -> None:
    lights = [answered(drawn(seed))[sequence] for sequence in sorted(judged)]
    assert read(drawn(seed), PAYMENT, lights)[-1].passed


@whole_draws
@given(seeds, st.lists(level, min_size=SYMBOLS, max_size=SYMBOLS), st.floats(0.1, 2.0))
def test_a_row_is_only_as_long_as_the_stream_agrees_with_the_draw(seed: int, shown: list[float], common: float) -> None:
    """Any recording at all, at any common factor: what counts is the offset to the own draw, held over the row."""
    emitted = drawn(seed)
    offsets = [LEVELS.index(light) - LEVELS.index(own) for light, own in zip(shown, emitted.levels, strict=True)]
    gates = read(emitted, DOOR, list(enumerate(light * common for light in shown)))
    row = 0
    reference: int | None = None
    for gate, offset in zip(gates, offsets, strict=True):
        if reference is None:
            reference, row, reason = offset, 0, PENDING
        elif offset != reference:
            reference, row, reason = None, 0, "code_wrong"
        else:
            row += 1
            reason = "" if row >= DOOR // 2 else PENDING
        assert (gate.value, gate.reason, gate.passed) == (row, reason, reason == "")


@given(seeds)
def test_at_most_one_level_agrees_whatever_a_frame_shows(seed: int) -> None:
    """Why a symbol is worth two bits: no brightness between the levels answers more than one of them."""
    rng = random.Random(seed)
    own, shown = rng.choice(LEVELS), 0.5 * rng.uniform(0.4, 1.2)

    class One:
        def __init__(self, second: float) -> None:
            self.levels = (own, second)

        def level(self, sequence: int) -> float | None:
            return self.levels[sequence]

    agreed = 0
    for second in LEVELS:
        reader = CodeReader(One(second), DOOR)
        reader.read(frame(0), face(0.5 * own))
        agreed += reader.read(frame(1), face(shown)).reason == PENDING
    assert agreed <= 1


def changing(levels: Sequence[float]) -> bool:
    return len(set(levels[:7])) > 1


@whole_draws
@given(seeds.filter(lambda seed: changing(drawn(seed).levels)))
def test_a_stream_under_constant_light_fails_as_soon_as_the_draw_changes(seed: int) -> None:
    emitted = drawn(seed)
    gates = read(emitted, DOOR, [(sequence, 0.4) for sequence in range(SYMBOLS)])
    first = next(place for place, level in enumerate(emitted.levels) if level != emitted.levels[0])
    assert gates[first].reason == "code_wrong"
    assert not any(gate.passed for gate in gates[: first + 1])


def test_a_stream_of_another_draw_passes_as_rarely_as_the_bits_say() -> None:
    """One window of `door`: at most one in 4,096. Of 40,000, 10 are expected at most; 30 are not (p < 1e-6)."""
    rng = random.Random(6)
    passed = 0
    for _ in range(40_000):
        mine, theirs = ([rng.randrange(4) for _ in range(7)] for _ in range(2))
        passed += len({own - other for own, other in zip(mine, theirs, strict=True)}) == 1
    assert passed < 30


@whole_draws
@given(seeds, st.integers(1, SYMBOLS - 1))
def test_a_repeated_or_older_number_is_no_answer(seed: int, back: int) -> None:
    """Attack: the frame that answered a symbol is sent again, under its number or an earlier one."""
    emitted = drawn(seed)
    reader = CodeReader(emitted, DOOR)
    lights = answered(emitted)
    for sequence, light in lights:
        reader.read(frame(sequence), face(light))
    sequence, light = lights[-back]
    gate = reader.read(frame(sequence), face(light))
    assert gate.reason == "gate_unknown"
    assert not gate.passed


@given(seeds, st.integers(SYMBOLS, 2**31) | st.integers(-(2**31), -1))
def test_nothing_is_answered_outside_the_draw(seed: int, sequence: int) -> None:
    emitted = drawn(seed)
    assert emitted.level(sequence) is None
    gate = CodeReader(emitted, DOOR).read(frame(sequence), face(0.5))
    assert (gate.reason, gate.passed) == ("gate_unknown", False)
    assert math.isnan(gate.value)


def unlit() -> Patch:
    return face(0.0)


def without_dark() -> Patch:
    return replace(face(0.5), lit=np.full((SIDE, SIDE), np.nan, np.float32), ambient=None)


def without_depth() -> Patch:
    return replace(face(0.5), depth_mm=np.full((SIDE, SIDE), np.nan, np.float32))


def full() -> Patch:
    lit = face(0.5).lit.copy()
    lit[: 3 * SIDE // 4] = np.nan
    return replace(face(0.5), lit=lit)


def brighter_by_day_than_lit() -> Patch:
    return face(-0.2)


@pytest.mark.parametrize("spoiled", [unlit, without_dark, without_depth, full, brighter_by_day_than_lit, lambda: None])
def test_what_cannot_be_computed_refuses_and_begins_anew(spoiled: Callable[[], Patch | None]) -> None:
    emitted = drawn(1)
    reader = CodeReader(emitted, DOOR)
    lights = answered(emitted)
    for sequence, light in lights[:10]:
        gate = reader.read(frame(sequence), face(light))
    assert gate.passed
    gate = reader.read(frame(10), spoiled())
    assert (gate.reason, gate.passed, math.isnan(gate.value)) == ("gate_unknown", False, True)
    gate = reader.read(frame(11), face(lights[11][1]))
    assert (gate.reason, gate.value) == (PENDING, 0)


def test_one_wrong_symbol_costs_the_row_and_no_second_strike() -> None:
    """A glitch of an honest camera is one strike of three, not two: the frame after it gives the scale."""
    emitted = drawn(2)
    lights = answered(emitted)
    lights[9] = (9, lights[9][1] * 1.4)
    reasons = [gate.reason for gate in read(emitted, DOOR, lights)]
    assert reasons.count("code_wrong") == 1
    assert reasons[9] == "code_wrong"
    assert reasons[10:16] == [PENDING] * 6


def test_a_face_that_was_lost_begins_the_row_anew() -> None:
    emitted = drawn(3)
    reader = CodeReader(emitted, DOOR)
    lights = answered(emitted)
    for sequence, light in lights[:10]:
        reader.read(frame(sequence), face(light))
    reader.reset()
    gate = reader.read(frame(10), face(0.1 * lights[10][1]))
    assert (gate.reason, gate.value) == (PENDING, 0)


@given(st.floats(300, 1000), st.floats(0, 0.1), seeds)
def test_brightness_is_of_the_surface_not_of_its_distance(distance_mm: float, noise: float, seed: int) -> None:
    assert brightness(face(0.5, distance_mm, noise, seed)) == pytest.approx(0.5, rel=0.05)


def test_shine_and_a_moved_edge_do_not_count() -> None:
    lit = face(0.5).lit.copy()
    lit[:1] *= 6
    lit[-1:] = 0
    assert brightness(replace(face(0.5), lit=lit)) == pytest.approx(0.5, rel=1e-5)


@given(st.binary(min_size=16, max_size=16))
def test_a_draw_is_the_secure_elements_and_every_bit_of_it_counts(raw: bytes) -> None:
    levels = Drawn(lambda size: raw[:size]).levels
    assert len(levels) == SYMBOLS == 4 * len(raw)
    assert sum(LEVELS.index(level) << (2 * place) for place, level in enumerate(levels)) == int.from_bytes(raw, "big")
