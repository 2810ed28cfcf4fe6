"""A living person's motion on a seeded timeline: blinks, gaze, sway, breath, speech, and answers to prompts.

Any instant can be asked for, in any order: each stretch of time draws from a stream of its own. Every number comes
from the frozen distributions of `living.toml`; who does not obey a prompt is drawn there too, so that a simulated
trial cannot decide its own error rate by a script that always smiles.
"""

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Literal, get_args

import numpy as np

from hil.people.actor import Actor, Expression
from hil.people.habits import habits
from hil.sensor.scene import Performance, Placed, Pose

PromptKind = Literal["smile", "mouth_open", "blink", "turn_left", "turn_right", "look_up", "speak"]
PROMPT_KINDS: tuple[PromptKind, ...] = get_args(PromptKind)

_BLINKS, _GAZE, _PERSON, _ANSWERS, _WORDS = range(5)
_MINUTE_S = 60.0
_GLANCES_S = 10.0  # gaze is drawn in stretches of this length
_SWAY_HZ = (0.06, 0.11, 0.19, 0.31, 0.47)
_SWAY_SHARE = (0.7, 0.5, 0.4, 0.25, 0.15)


@dataclass(frozen=True)
class Prompt:
    """What the terminal asks, and when it is shown (seconds). Left and right are the person's own."""

    kind: PromptKind
    at_s: float


@dataclass(frozen=True)
class Answer:
    """What somebody does about a prompt: the ground truth of a simulated trial.

    Attributes:
        prompt: what was asked.
        refused: nothing is done; the other values then mean nothing.
        begins_s: when it starts, on the timeline's clock.
        amount: weight of the movement, or degrees of a turn.
        onset_s: from start to full amount.
        hold_s: how long it stays there.
        release_s: from there back to rest.
    """

    prompt: Prompt
    refused: bool
    begins_s: float
    amount: float
    onset_s: float
    hold_s: float
    release_s: float

    def level(self, time_s: float) -> float:
        """0..1, how far the movement has gone at `time_s`, slow at both ends."""
        if self.refused:
            return 0.0
        since = time_s - self.begins_s
        rise = since / self.onset_s
        fall = 1 - (since - self.onset_s - self.hold_s) / self.release_s
        return _eased(min(rise, fall))


@dataclass(frozen=True)
class Timeline:
    """One person's motion over one session: the same seed and prompts give the same motion.

    Args:
        seed: 0 or more.
        prompts: what the terminal will ask.
    """

    seed: int
    prompts: tuple[Prompt, ...] = ()

    def at(self, time_s: float) -> tuple[Expression, Pose]:
        """Expression, and how far the pose is off where the person meant to stand (add with `Pose.moved`)."""
        yaw, pitch = self._gaze(time_s)
        blink = self._blink(time_s)
        face = Expression(blink_left=blink, blink_right=blink, gaze_yaw_deg=yaw, gaze_pitch_deg=pitch)
        moved = self._sway(time_s)
        for answer in self.answers:
            level = answer.level(time_s)
            if level > 0:
                asked, turned = _answering(answer, level, self._word(time_s))
                face, moved = face.with_most(asked), moved.moved(turned)
        if self._talks(time_s):
            face = face.with_most(self._word(time_s))
        return face, moved

    @cached_property
    def answers(self) -> tuple[Answer, ...]:
        """What the person will do about each prompt."""
        return tuple(self._answer(index, prompt) for index, prompt in enumerate(self.prompts))

    def blinks(self, minute: int) -> tuple[tuple[float, float, float], ...]:
        """Onset (s), closure 0..1 and hold (s) of the spontaneous blinks that begin in minute number `minute`."""
        return _blinks(self.seed, minute, self._person.blinks_per_minute)

    @cached_property
    def _person(self) -> "_Person":
        return _Person.drawn(_rng(self.seed, _PERSON))

    def _answer(self, index: int, prompt: Prompt) -> Answer:
        rng, how = _rng(self.seed, _ANSWERS, index), habits()
        refused = bool(rng.random() < how.refusal.share[prompt.kind])
        begins = prompt.at_s + how.reaction.draw(rng)
        hold, release = how.hold.hold_s.draw(rng), how.hold.release
        match prompt.kind:
            case "smile":
                amount, onset = how.smile.excursion_mm.draw(rng) / how.smile.full_mm, how.smile.onset_s.draw(rng)
            case "mouth_open":
                amount = how.mouth_open.gape_mm.draw(rng) / how.mouth_open.full_mm
                onset = how.mouth_open.onset_s.draw(rng)
            case "blink":
                amount, onset, hold = 1.0, how.blink.close_s, how.blink.hold_s.high + how.blink.hold_s.draw(rng)
            case "speak":
                amount, onset, hold = 1.0, 0.1, how.speech.lasts_s.draw(rng)
            case "look_up":
                amount, onset = how.turn.pitch_deg.draw(rng), how.turn.onset_s.draw(rng)
            case _:
                amount, onset = how.turn.yaw_deg.draw(rng), how.turn.onset_s.draw(rng)
        return Answer(prompt, refused, begins, amount, onset, hold, onset * release)

    def _blink(self, time_s: float) -> float:
        blink, minute = habits().blink, int(time_s // _MINUTE_S)
        closed = 0.0
        for onset, closure, hold in (*self.blinks(minute - 1 if minute else 0), *self.blinks(minute)):
            since = time_s - onset
            rise, fall = since / blink.close_s, 1 - (since - blink.close_s - hold) / blink.open_s
            closed = max(closed, closure * _eased(min(rise, fall)))
        return closed

    def _gaze(self, time_s: float) -> tuple[float, float]:
        """Degrees of yaw and pitch: still during a fixation, quick between two."""
        how, part = habits().gaze, int(time_s // _GLANCES_S)
        starts, targets = _glances(self.seed, part)
        now = int(np.searchsorted(starts, time_s - part * _GLANCES_S, side="right")) - 1
        before = targets[now - 1] if now > 0 else _glances(self.seed, part - 1)[1][-1] if part > 0 else targets[0]
        jump = float(np.linalg.norm(targets[now] - before))
        takes = (how.saccade_base_ms + how.saccade_ms_per_deg * jump) / 1000
        share = _eased((time_s - part * _GLANCES_S - float(starts[now])) / takes)
        yaw, pitch = before + (targets[now] - before) * share
        return float(yaw), float(pitch)

    def _sway(self, time_s: float) -> Pose:
        person = self._person
        waves = np.sin(2 * np.pi * (np.array(_SWAY_HZ) * time_s + person.phases)) @ np.array(_SWAY_SHARE)
        waves *= np.sqrt(2) / np.linalg.norm(_SWAY_SHARE)  # each of unit RMS
        breath = float(np.sin(2 * np.pi * (person.breaths_per_minute / 60 * time_s + person.phases[0, 0])))
        turn = habits().breath.turn_rms_deg
        return Pose(
            x_mm=person.sideways_mm * float(waves[0]),
            y_mm=person.rise_mm * breath,
            z_mm=person.forward_mm * float(waves[1]) + 0.5 * person.rise_mm * breath,
            yaw_deg=turn.yaw * float(waves[2]),
            pitch_deg=turn.pitch * float(waves[3]),
            roll_deg=turn.roll * float(waves[4]),
        )

    def _talks(self, time_s: float) -> bool:
        return self._person.talks_from_s <= time_s < self._person.talks_until_s

    def _word(self, time_s: float) -> Expression:
        """The mouth in the middle of a word: from one syllable's shape to the next."""
        place = time_s * self._person.syllables_per_s
        before, after = self._syllable(int(place)), self._syllable(int(place) + 1)
        share = _eased(place % 1)
        names = ("mouth_open", "lips_round", "lips_wide", "lips_press")
        return Expression(**{n: getattr(before, n) * (1 - share) + getattr(after, n) * share for n in names})

    def _syllable(self, number: int) -> Expression:
        rng = _rng(self.seed, _WORDS, number)
        if rng.random() < 0.25:
            return Expression(lips_press=float(rng.uniform(0.3, 0.8)))
        spread = float(rng.uniform(-0.6, 0.6))
        return Expression(
            mouth_open=habits().speech.open.draw(rng), lips_round=max(spread, 0.0), lips_wide=max(-spread, 0.0)
        )


def performance(actor: Actor, timeline: Timeline, pose: Pose) -> Performance:
    """`actor` living `timeline` where it meant to stand."""

    def at(time_s: float) -> tuple[Placed, ...]:
        expression, off = timeline.at(time_s)
        placed = pose.moved(off)
        return tuple(Placed(surface, placed) for surface in actor.surfaces(expression))

    return at


@dataclass(frozen=True, eq=False)
class _Person:
    """What differs from one person to the next."""

    blinks_per_minute: float
    breaths_per_minute: float
    rise_mm: float
    sideways_mm: float
    forward_mm: float
    syllables_per_s: float
    talks_from_s: float
    talks_until_s: float
    phases: np.ndarray

    @staticmethod
    def drawn(rng: np.random.Generator) -> "_Person":
        how = habits()
        blinks = how.blink.rate_per_minute.draw(rng)
        breaths, rise = how.breath.rate_per_minute.draw(rng), how.breath.rise_mm.draw(rng)
        sideways, forward = how.sway.sideways_rms_mm.draw(rng), how.sway.forward_rms_mm.draw(rng)
        talks = rng.random() < how.speech.talks_unasked_share
        begins, lasts = float(rng.uniform(0, 5)), how.speech.lasts_s.draw(rng)
        phases = rng.uniform(0, 1, (5, len(_SWAY_HZ)))
        syllables = how.speech.syllables_per_s.draw(rng)
        until = begins + lasts if talks else begins
        return _Person(blinks, breaths, rise, sideways, forward, syllables, begins, until, phases)


def _rng(seed: int, stream: int, part: int = 0) -> np.random.Generator:
    return np.random.default_rng([seed, 0x11FE, stream, part])


@lru_cache(maxsize=64)
def _blinks(seed: int, minute: int, per_minute: float) -> tuple[tuple[float, float, float], ...]:
    rng, blink = _rng(seed, _BLINKS, minute), habits().blink
    made = []
    for onset in np.sort(rng.uniform(0, _MINUTE_S, rng.poisson(per_minute))):
        closure = blink.partial_closure.draw(rng) if rng.random() < blink.partial_share else 1.0
        made.append((minute * _MINUTE_S + float(onset), closure, blink.hold_s.draw(rng)))
    return tuple(made)


@lru_cache(maxsize=64)
def _glances(seed: int, part: int) -> tuple[np.ndarray, np.ndarray]:
    """Start of each fixation (N,) in s within stretch `part`, and where it looks (N, 2) in degrees."""
    rng, how, where = _rng(seed, _GAZE, part), habits().gaze, habits().gaze_targets
    starts, total = [], 0.0
    while total < _GLANCES_S:
        starts.append(total)
        total += how.fixation_s.draw(rng)
    targets = [(where.yaw_deg.draw(rng), where.pitch_deg.draw(rng)) for _ in starts]
    return np.array(starts), np.array(targets)


def _answering(answer: Answer, level: float, word: Expression) -> tuple[Expression, Pose]:
    amount = answer.amount * level
    still = Pose(z_mm=0)
    match answer.prompt.kind:
        case "smile":
            return Expression(smile=amount), still
        case "mouth_open":
            return Expression(mouth_open=amount), still
        case "blink":
            return Expression(blink_left=amount, blink_right=amount), still
        case "speak":
            return word, still
        case "look_up":
            return Expression(), Pose(z_mm=0, pitch_deg=amount)
        case "turn_left":
            return Expression(), Pose(z_mm=0, yaw_deg=amount)
        case "turn_right":
            return Expression(), Pose(z_mm=0, yaw_deg=-amount)


def _eased(share: float) -> float:
    """0 to 1 while `share` goes from 0 to 1, slow at both ends."""
    t = min(max(share, 0.0), 1.0)
    return t * t * (3 - 2 * t)
