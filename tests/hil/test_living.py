"""Living motion: the same for a seed at any instant, at the published rates, and honest about who refuses."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hil.people.actor import MOVEMENTS, NEUTRAL, Expression
from hil.people.habits import habits
from hil.people.living import PROMPT_KINDS, Answer, Prompt, PromptKind, Timeline
from hil.sensor.scene import Pose

FULL = 1.0


def at_peak(answer: Answer) -> float:
    return answer.begins_s + answer.onset_s + answer.hold_s / 2


def willing(kind: PromptKind) -> tuple[Timeline, Answer]:
    """Return somebody who does as asked, at second 2."""
    for seed in range(50):
        timeline = Timeline(seed, (Prompt(kind, 2.0),))
        if not timeline.answers[0].refused:
            return timeline, timeline.answers[0]
    raise AssertionError("nobody obeys")


@given(seed=st.integers(0, 2**31), time_s=st.floats(0, 600))
@settings(max_examples=40, deadline=None)
def test_any_instant_is_the_same_whenever_asked(seed: int, time_s: float) -> None:
    prompts = (Prompt("smile", 1.0), Prompt("turn_left", 5.0))
    late = Timeline(seed, prompts).at(time_s)
    timeline = Timeline(seed, prompts)
    timeline.at(599.0)
    assert timeline.at(time_s) == late


@given(seed=st.integers(0, 10_000), time_s=st.floats(0, 100), step_s=st.floats(0, 0.002))
@settings(max_examples=60, deadline=None)
def test_nothing_jumps(seed: int, time_s: float, step_s: float) -> None:
    timeline = Timeline(seed, tuple(Prompt(kind, 7.0 * n) for n, kind in enumerate(PROMPT_KINDS)))
    (before, stood), (after, stands) = timeline.at(time_s), timeline.at(time_s + step_s)
    for movement in MOVEMENTS:
        assert abs(getattr(after, movement) - getattr(before, movement)) < 0.05, movement
    for part in ("x_mm", "y_mm", "z_mm", "yaw_deg", "pitch_deg", "roll_deg"):
        assert abs(getattr(stands, part) - getattr(stood, part)) < 0.3, part
    assert abs(after.gaze_yaw_deg - before.gaze_yaw_deg) < 2, "a saccade of 15 degrees takes 50 ms"


def test_people_blink_at_the_published_rate() -> None:
    minutes = [len(Timeline(seed).blinks(minute)) for seed in range(300) for minute in range(2)]
    assert np.mean(minutes) == pytest.approx(10.3, abs=0.6)
    per_person = [np.mean([len(Timeline(seed).blinks(minute)) for minute in range(12)]) for seed in range(150)]
    assert np.std(per_person) == pytest.approx(3.1, abs=0.6), "Doughty 2002, with Poisson counting noise on top"


def test_a_spontaneous_blink_within_three_seconds_cannot_be_relied_on() -> None:
    seen = [any(onset < 3.0 for onset, _, _ in Timeline(seed).blinks(0)) for seed in range(600)]
    assert 0.33 < np.mean(seen) < 0.47, "40 % by the published rate"


def test_a_blink_closes_and_opens_within_its_time() -> None:
    timeline = next(t for t in map(Timeline, range(100)) if any(c == FULL for _, c, _ in t.blinks(0)))
    onset, _, hold = next(blink for blink in timeline.blinks(0) if blink[1] == FULL)
    assert timeline.at(onset + 0.1 + hold / 2)[0].blink_left == pytest.approx(1.0, abs=0.01)
    assert timeline.at(onset + 0.1 + hold / 2)[0].blink_right == pytest.approx(1.0, abs=0.01)


def test_gaze_is_still_between_saccades() -> None:
    timeline = Timeline(5)
    looks = [timeline.at(t)[0].gaze_yaw_deg for t in np.arange(0, 20, 0.01)]
    still = np.abs(np.diff(looks)) < 1e-9
    assert 0.75 < still.mean() < 0.98
    assert np.std(looks) > 1


def test_standing_sways_as_much_as_measured() -> None:
    stood = [[Timeline(seed).at(t)[1] for t in np.arange(0, 60, 1.0)] for seed in range(12)]
    sideways, forward = (
        np.mean([np.std([getattr(pose, part) for pose in track]) for track in stood]) for part in ("x_mm", "z_mm")
    )
    assert sideways == pytest.approx(3.3, abs=1.2)
    assert forward == pytest.approx(5.0, abs=2.0)


@pytest.mark.parametrize("kind", ["smile", "mouth_open", "blink"])
def test_an_answer_is_the_movement_that_was_asked_for(kind: PromptKind) -> None:
    timeline, answer = willing(kind)
    name = "blink_left" if kind == "blink" else kind
    assert getattr(timeline.at(at_peak(answer))[0], name) == pytest.approx(answer.amount, abs=0.02)


@pytest.mark.parametrize(("kind", "part", "sign"), [("turn_left", "yaw_deg", 1), ("turn_right", "yaw_deg", -1),
                                                    ("look_up", "pitch_deg", 1)])  # fmt: skip
def test_a_turn_turns_the_head_and_not_the_face(kind: PromptKind, part: str, sign: int) -> None:
    timeline, answer = willing(kind)
    expression, moved = timeline.at(at_peak(answer))
    assert getattr(moved, part) * sign == pytest.approx(answer.amount, abs=3)
    assert expression.smile == expression.mouth_open == 0
    assert moved.z_mm < 50, "an offset, not a place"


def test_speaking_moves_the_mouth_several_times_a_second() -> None:
    timeline, answer = willing("speak")
    inside = np.arange(answer.begins_s + answer.onset_s, answer.begins_s + answer.onset_s + answer.hold_s, 0.01)
    opens = np.array([timeline.at(t)[0].mouth_open for t in inside])
    assert opens.max() > 0.05
    assert np.ptp(opens) > 0.05


def test_nobody_answers_before_seeing_the_prompt() -> None:
    answers = [Timeline(seed, (Prompt("smile", 4.0),)).answers[0] for seed in range(400)]
    reactions = np.array([answer.begins_s - 4.0 for answer in answers])
    assert reactions.min() > habits().reaction.least_s - 1e-9
    assert np.median(reactions) == pytest.approx(habits().reaction.median_s, rel=0.1)


def test_refusals_come_at_the_frozen_share_and_leave_the_face_at_rest() -> None:
    timelines = [Timeline(seed, (Prompt("smile", 1.0),)) for seed in range(1500)]
    refusals = [timeline for timeline in timelines if timeline.answers[0].refused]
    assert len(refusals) / len(timelines) == pytest.approx(habits().refusal.share["smile"], abs=0.025)
    assert all(refusals[0].at(t)[0].smile == 0 for t in np.arange(1, 6, 0.1))


def test_smiles_are_of_the_published_excursion() -> None:
    how = habits().smile
    excursions = [Timeline(seed, (Prompt("smile", 0),)).answers[0].amount * how.full_mm for seed in range(400)]
    assert np.mean(excursions) == pytest.approx(14, abs=0.6)
    assert min(excursions) >= 7
    assert max(excursions) <= 22


def test_two_prompts_can_be_asked_one_after_the_other() -> None:
    both = Timeline(1, (Prompt("smile", 1.0), Prompt("mouth_open", 1.2)))
    assert [answer.prompt.kind for answer in both.answers] == ["smile", "mouth_open"]
    assert both.answers[0] == Timeline(1, (Prompt("smile", 1.0),)).answers[0], "the second changes nothing of the first"


def test_every_distribution_says_where_it_comes_from() -> None:
    frozen = habits()
    for name in frozen.__struct_fields__:
        part = getattr(frozen, name)
        assert part.kind in ("published", "assumption"), name
        assert len(part.source) > 30, name
    assert set(frozen.refusal.share) == set(PROMPT_KINDS)


def test_expressions_add_up_by_the_stronger_movement() -> None:
    both = Expression(smile=0.4, gaze_yaw_deg=2).with_most(Expression(smile=0.2, mouth_open=0.5, gaze_yaw_deg=1))
    assert (both.smile, both.mouth_open, both.gaze_yaw_deg) == (0.4, 0.5, 3)
    assert NEUTRAL.weights() == {}


def test_an_offset_moves_a_pose_without_replacing_it() -> None:
    stands = Pose(x_mm=10, z_mm=500)
    assert abs(stands.moved(Timeline(3).at(1.0)[1]).z_mm - 500) < 30
