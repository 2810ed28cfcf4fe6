"""What the emitter code lets through and what not: streams by name, on patches of a made-up face."""

import math
import random
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from drivers.camera import CameraInfo, Emitter, FrameSet, Intrinsics
from firmware.liveness.code import LEVELS, SYMBOLS, CodeReader, Drawn, Try, brightness
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


# frames in which a clean stream has answered: the first gives the scale, each after it nearly two bits
WITHIN = {DOOR: 9, PAYMENT: 16}
PLAIN = 0.25  # two steps and more


@whole_draws
@given(seeds, st.floats(0.01, 1.0), st.sampled_from((DOOR, PAYMENT)))
def test_a_face_under_the_own_light_answers_however_bright_it_is(seed: int, albedo: float, bits: int) -> None:
    gates = read(drawn(seed), bits, answered(drawn(seed), albedo))
    first = next(place for place, gate in enumerate(gates) if gate.passed)
    assert bits / 2 < first + 1 <= WITHIN[bits]
    assert [gate.reason for gate in gates] == [PENDING] * first + [""] * (SYMBOLS - first)
    assert gates[0].value == 0
    assert all(gate.passed == (gate.value >= bits) for gate in gates)
    assert gates[-1].value == bits, "nothing is saved up"
    assert gates[0].limit == f">= {bits} bits"


@whole_draws
@given(seeds, st.lists(st.floats(-0.05, 0.05), min_size=SYMBOLS, max_size=SYMBOLS))
def test_a_face_that_moves_and_shines_a_little_still_answers(seed: int, off: list[float]) -> None:
    lights = [
        (sequence, light * math.exp(wrong)) for (sequence, light), wrong in zip(answered(drawn(seed)), off, strict=True)
    ]
    assert read(drawn(seed), PAYMENT, lights)[-1].passed


@whole_draws
@given(seeds, st.integers(7, 30), st.floats(0, 6.28), st.floats(0, 0.05))
def test_a_face_under_lamps_that_flicker_still_answers(seed: int, fps: int, phase: float, depth: float) -> None:
    """Mains at 50 Hz, exposures 120 a second: the lit exposure has another part of the flicker than the dark one."""
    lights = []
    for sequence, light in answered(drawn(seed)):
        turned = 2 * math.pi * 100 * sequence / fps + phase
        lights.append((sequence, light + 0.5 * depth * (math.sin(turned) - math.sin(turned - 100 * 2 * math.pi / 120))))
    gates = read(drawn(seed), PAYMENT, lights)
    assert "code_wrong" not in [gate.reason for gate in gates]
    assert gates[-1].passed


@whole_draws
@given(seeds, st.floats(0.98, 1.02))
def test_a_slow_drift_is_followed(seed: int, drift: float) -> None:
    lights = [(sequence, light * drift**sequence) for sequence, light in answered(drawn(seed))]
    assert read(drawn(seed), PAYMENT, lights)[-1].passed


@whole_draws
@given(seeds, st.sets(st.integers(0, SYMBOLS - 1), min_size=17))
def test_skipped_frames_cost_only_themselves(seed: int, judged: set[int]) -> None:
    lights = [answered(drawn(seed))[sequence] for sequence in sorted(judged)]
    assert read(drawn(seed), PAYMENT, lights)[-1].passed


@given(st.lists(st.tuples(st.floats(0.01, 10), level), max_size=6), st.floats(0.001, 100))
def test_no_brightness_gains_on_average_over_what_may_be_drawn(before: list[tuple[float, float]], light: float) -> None:
    """Why bits are bits: to a stream that does not know the draw each frame is a fair bet, whatever it shows."""
    one = Try()
    for frame in before:
        one.add(*frame)
    odds = [2 ** one.weigh(light, level) for level in LEVELS]
    assert sum(odds) / len(odds) == pytest.approx(1)


@pytest.mark.parametrize("show", ["another draw", "constant", "between the levels", "anything"])
def test_a_stream_that_knows_nothing_of_the_draw_answers_as_rarely_as_the_bits_say(show: str) -> None:
    """8 bits, so that it can be seen: at most one try in 256. 40,000 tries: 156 are expected at most, 250 are not."""
    rng = random.Random(show)
    passed = 0
    for _ in range(40_000):
        one, going = Try(), True
        constant = rng.choice((*LEVELS, 0.58, 0.9))
        while going and one.bits < 8:
            light = {
                "another draw": rng.choice(LEVELS),
                "constant": constant,
                "between the levels": rng.choice((0.576, 0.72, 0.9)),
                "anything": rng.uniform(0.4, 1.1),
            }[show]
            going = one.add(light, rng.choice(LEVELS))
        passed += going
    assert passed < 250


@whole_draws
@given(seeds, st.integers(6, SYMBOLS - 2), level)
def test_a_frame_that_plainly_shows_another_level_is_wrong(seed: int, place: int, shown: float) -> None:
    emitted = drawn(seed)
    assume(abs(shown - emitted.levels[place]) > PLAIN)
    lights = answered(emitted)
    lights[place] = (place, 0.5 * shown)
    gates = read(emitted, PAYMENT, lights[: place + 2])
    assert (gates[place].reason, gates[place].value, gates[place].passed) == ("code_wrong", 0, False)
    # the frame after it gives the scale anew: a glitch of an honest camera is one strike of three, not two
    assert (gates[-1].reason, gates[-1].value) == (PENDING, 0)


@whole_draws
@given(seeds)
def test_a_stream_under_constant_light_fails_once_the_draw_has_changed(seed: int) -> None:
    """Within the first four frames of another level than the first, even where the lowest is next to the first."""
    emitted = drawn(seed)
    gates = read(emitted, PAYMENT, [(sequence, 0.4) for sequence in range(SYMBOLS)])
    assert not any(gate.passed for gate in gates)
    assert [gate.reason for gate in gates].count("code_wrong") >= 3


@whole_draws
@given(seeds, st.integers(6, 14))
def test_bits_gathered_by_a_face_do_not_carry_over_to_a_recording(seed: int, swapped: int) -> None:
    """Attack: an accomplice answers, then the face of another is fed in, under another draw."""
    emitted, theirs = drawn(seed), drawn(seed + 1)
    stream = [
        level if place < swapped else other
        for place, (level, other) in enumerate(zip(emitted.levels, theirs.levels, strict=True))
    ]
    reader = CodeReader(emitted, DOOR)
    gates = [reader.read(frame(sequence), face(0.5 * light)) for sequence, light in enumerate(stream)]
    plainly = next(place for place in range(swapped, SYMBOLS) if gates[place].reason == "code_wrong")
    far = [place for place in range(swapped, plainly) if abs(theirs.levels[place] - emitted.levels[place]) > PLAIN]
    assert not far


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


def test_a_level_that_no_draw_has_is_no_answer() -> None:
    """A recording may say that anything was drawn; what it was worth, nobody knows."""

    class Odd:
        def level(self, sequence: int) -> float | None:
            return 0.7

    assert CodeReader(Odd(), DOOR).read(frame(0), face(0.5)).reason == "gate_unknown"


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
