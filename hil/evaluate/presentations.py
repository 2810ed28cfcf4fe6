"""Who stands before which sensor, and how: the sets of simulated people that the evidence rests on.

Rules kept here:
- Evaluation seeds only: no network and no threshold has seen these people.
- A person, a pose and an expression follow from the set's seeds alone: the same everywhere, in any order.
- Sets that differ in one thing only (the sensor, glasses) show the same people in the same poses.
"""

from dataclasses import dataclass
from itertools import islice

import numpy as np

from hil.people.actor import MOVEMENTS, NEUTRAL, Expression
from hil.people.generators import EVALUATION_SEEDS, Generator
from hil.people.sliders import Sliders
from hil.sensor.scene import Pose

GUIDED = ((0.0, 0.0), (-15.0, 0.0), (15.0, 0.0), (0.0, -10.0), (0.0, 10.0))  # yaw, pitch: the terminal's five
TRIES = (1.0, 0.75, 0.5)  # of a guided turn: who turned too far for the detector turns back; then it has failed
STRONG_PROBES = 4
EYES_ONLY = ("blink_left", "blink_right")
_WHO, _LOOK = 3, 4_711  # streams of a seed: the first is `hil.people.generators`' own


@dataclass(frozen=True)
class Look:
    """One frame to take: `kind` is `enrol`, `strong` or `neutral`; `turn` counts the guided pose or the probe."""

    kind: str
    turn: int
    pose: Pose
    expression: Expression


@dataclass(frozen=True)
class PeopleSet:
    """Some people before one sensor.

    Attributes:
        name: of its folder.
        generator: of people.
        count: of people, seeds from 5,000,000 on.
        adults: whether minors among them are passed over.
        sensor: a preset of `hil.sensor.presets`, 640 pixels wide.
        glasses: whether probes wear glasses; nobody is enrolled with them.
        z_mm: nearest and farthest probe.
    """

    name: str
    generator: Generator
    count: int
    sensor: str = "structured-light"
    adults: bool = True
    glasses: bool = False
    z_mm: tuple[float, float] = (300.0, 700.0)

    @property
    def seeds(self) -> tuple[int, ...]:
        """Of its people."""
        able = (seed for seed in EVALUATION_SEEDS if not self.adults or who(seed).grown)
        return tuple(islice(able, self.count))


HEADLINE = PeopleSet("makehuman", "makehuman", 610, adults=False)
ICT = PeopleSet("ict", "ict", 92)
SETS = (
    HEADLINE,
    ICT,
    PeopleSet("makehuman-held-out", "makehuman", 92, sensor="held-out"),
    PeopleSet("makehuman-d4xx", "makehuman", 92, sensor="d4xx"),
    PeopleSet("makehuman-ideal", "makehuman", 92, sensor="ideal"),
    PeopleSet("makehuman-glasses", "makehuman", 92, glasses=True),
    PeopleSet("makehuman-far", "makehuman", 92, z_mm=(700.0, 1000.0)),
)


def who(seed: int) -> Sliders:
    """Age, sex, descent and weight of person `seed`, as `make_actor` draws them where it is told nothing."""
    return Sliders.drawn(np.random.default_rng([seed, _WHO]))


def looks(people: PeopleSet, seed: int) -> list[Look]:
    """Five guided poses at rest, `TRIES` of each; then the probes, strong expressions first, one at rest last."""
    rng = np.random.default_rng([seed, _LOOK])
    enrol = [
        Look("enrol", turn, _guided(rng, yaw * share, pitch * share), NEUTRAL)
        for turn, (yaw, pitch) in enumerate(GUIDED)
        for share in TRIES
    ]
    strong = [Look("strong", turn, _probe(rng, people.z_mm), expression(rng)) for turn in range(STRONG_PROBES)]
    return [*enrol, *strong, Look("neutral", STRONG_PROBES, _probe(rng, people.z_mm), NEUTRAL)]


def _guided(rng: np.random.Generator, yaw: float, pitch: float) -> Pose:
    about = [float(value) for value in rng.normal(0, 2, 3)]
    return Pose(
        x_mm=float(rng.uniform(-20, 20)),
        y_mm=float(rng.uniform(-20, 20)),
        z_mm=float(rng.uniform(420, 520)),
        yaw_deg=yaw + about[0],
        pitch_deg=pitch + about[1],
        roll_deg=about[2],
    )


def _probe(rng: np.random.Generator, z_mm: tuple[float, float]) -> Pose:
    return Pose(
        x_mm=float(rng.uniform(-40, 40)),
        y_mm=float(rng.uniform(-35, 35)),
        z_mm=float(rng.uniform(*z_mm)),
        yaw_deg=float(rng.uniform(-20, 20)),
        pitch_deg=float(rng.uniform(-12, 12)),
        roll_deg=float(rng.uniform(-10, 10)),
    )


def expression(rng: np.random.Generator) -> Expression:
    """A strong one: one to three movements at half to full strength, at least one of them more than a blink."""
    moving = [name for name in MOVEMENTS if name not in EYES_ONLY]
    first = moving[int(rng.integers(len(moving)))]
    others = [name for name in MOVEMENTS if name != first]
    chosen = [first, *(others[int(i)] for i in rng.choice(len(others), int(rng.integers(0, 3)), replace=False))]
    amounts = {name: float(rng.uniform(0.5, 1.0)) for name in chosen}
    if "jaw_side" in amounts:
        amounts["jaw_side"] *= float(rng.choice([-1, 1]))
    return Expression(**amounts)
