"""What every presentation attack instrument is made of: a species, its limits, and the attacker who presents it.

Rules kept here:
- Every parameter has physical limits, as data: a search looks for the worst case within them, and nothing outside
  them is rendered.
- Whatever an instrument does over time follows from the seed, the parameters and the prompts; nothing else.
- What a rendering leaves out stands beside it (`not_modelled`): it is shown wherever the rendering is.

Kinds are those of ISO/IEC 30107-1 and -3: an artificial instrument is complete (it hides all of the attacker's face)
or partial (some of the living face shows). Level A, B, C is the effort in FIDO's Biometric Requirements: time,
expertise and equipment, from a layman's afternoon to an expert's weeks. Costs are rough guesses of material, in euro.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Literal

from hil.people.actor import Actor, Expression
from hil.people.living import Prompt, Timeline
from hil.sensor.motion import sway
from hil.sensor.scene import Performance, Pose


class ArtefactError(ValueError):
    """An instrument cannot be made so: a parameter is unknown or outside what is physically possible."""


@dataclass(frozen=True)
class Limit:
    """The physically possible range of one parameter, both ends included; `whole` allows integers only."""

    low: float
    high: float
    typical: float
    unit: str = ""
    whole: bool = False

    def __post_init__(self) -> None:
        """Check the order. Raises ValueError."""
        if not self.low <= self.typical <= self.high:
            raise ValueError(f"limit {self.low} <= {self.typical} <= {self.high} does not hold")

    def holds(self, value: float) -> bool:
        """Whether `value` is possible; NaN is not."""
        return self.low <= value <= self.high and (not self.whole or float(value).is_integer())


Limits = Mapping[str, Limit]

# The protocol's ranges: 0.25-1.0 m, yaw +-35, pitch +-25. Unsteadiness is in units of quiet standing: 0 is a tripod.
HOLD: Limits = MappingProxyType(
    {
        "distance_mm": Limit(250, 1000, 450, "mm"),
        "yaw_deg": Limit(-35, 35, 0, "deg"),
        "pitch_deg": Limit(-25, 25, 0, "deg"),
        "unsteady": Limit(0, 3, 1, "of quiet standing"),
    }
)


@dataclass(frozen=True)
class Hold:
    """Where the attacker holds or stands, and how steadily: the parameters of `HOLD`."""

    distance_mm: float = HOLD["distance_mm"].typical
    yaw_deg: float = HOLD["yaw_deg"].typical
    pitch_deg: float = HOLD["pitch_deg"].typical
    unsteady: float = HOLD["unsteady"].typical

    def pose(self, off: Pose) -> Pose:
        """Moved `off` the place meant, `unsteady` times."""
        off = Pose(**{name: value * self.unsteady for name, value in vars(off).items()})
        return Pose(z_mm=self.distance_mm, yaw_deg=self.yaw_deg, pitch_deg=self.pitch_deg).moved(off)


@dataclass(frozen=True)
class Attacker:
    """Whoever presents the instrument: a living person who hears the prompts.

    Attributes:
        seed: of hand, motion and workmanship.
        wearer: whose face is behind a worn instrument.
        prompts: what the terminal asks, and when.
    """

    seed: int
    wearer: Actor | None = None
    prompts: tuple[Prompt, ...] = ()

    def hand(self, hold: Hold, time_s: float) -> Pose:
        """The pose of a thing held by hand."""
        return hold.pose(sway(time_s, self.seed))

    def turned(self, hold: Hold, time_s: float) -> Pose:
        """The pose of a thing held by hand, and turned when turning is asked for."""
        return self.hand(hold, time_s).moved(self._purpose(time_s)[1]) if self.prompts else self.hand(hold, time_s)

    def act(self, hold: Hold, time_s: float) -> tuple[Expression, Pose]:
        """Expression and pose of the attacker's own head; the dark exposure of a first frame falls before 0 s."""
        expression, off = self._asked.at(max(time_s, 0.0))
        pose = hold.pose(off)
        if self.prompts and hold.unsteady != 1:  # what is done on purpose is not unsteadiness
            swaying, purpose = self._purpose(time_s)
            pose = hold.pose(swaying).moved(purpose)
        return expression, pose

    def _purpose(self, time_s: float) -> tuple[Pose, Pose]:
        """How far off the place meant by itself, and besides that on purpose."""
        (_, off), (_, swaying) = (one.at(max(time_s, 0.0)) for one in (self._asked, self._unasked))
        return swaying, Pose(**{name: value - getattr(swaying, name) for name, value in vars(off).items()})

    @cached_property
    def _asked(self) -> Timeline:
        return Timeline(self.seed, self.prompts)

    @cached_property
    def _unasked(self) -> Timeline:
        return Timeline(self.seed)

    def worn_by(self) -> Actor:
        """The wearer. Raises ArtefactError where nobody wears it."""
        if self.wearer is None:
            raise ArtefactError("this instrument is worn: say by whom (`wearer`)")
        return self.wearer


@dataclass(frozen=True)
class Species:
    """One kind of instrument (PAI species): every instance of it is made alike and fails or passes alike.

    Attributes:
        name: in lower case, as commands and reports name it.
        kind: whether it hides the attacker's face or lets some of it show.
        access: what of the victim it is made from.
        level: effort class, A the least.
        cost_eur: material, rough guess, at least and at most.
        not_modelled: what its rendering leaves out.
        make: from victim, attacker, hold and parameters to a performance.
        shape: its own parameters and their limits; `parameters` adds those of holding it.
        worn: whether a living person is behind it.
        rigid: whether nobody's face moves anything of it: of all that is asked, only turns change what is seen.
    """

    name: str
    kind: Literal["complete", "partial"]
    access: str
    level: Literal["A", "B", "C"]
    cost_eur: tuple[int, int]
    not_modelled: str
    make: Callable[..., Performance]
    shape: Limits = field(default_factory=dict)
    worn: bool = False
    rigid: bool = False

    @property
    def parameters(self) -> dict[str, Limit]:
        """Every parameter and its limits."""
        return {**self.shape, **HOLD}

    def perform(self, victim: Actor, by: Attacker | int, /, **parameters: float) -> Performance:
        """Make the instrument after `victim` and present it; parameters not given are typical.

        Args:
            victim: whose likeness it is.
            by: who presents it; a number is the seed of somebody who wears nothing and hears no prompts.
            parameters: any of `parameters`.

        Raises:
            ArtefactError: a parameter is unknown or outside its limits, or a worn instrument has no wearer.
        """
        attacker = by if isinstance(by, Attacker) else Attacker(by)
        values = settle(self.name, self.parameters, parameters)
        hold = Hold(**{name: values.pop(name) for name in HOLD})
        if self.worn:
            attacker.worn_by()
        return self.make(victim, attacker, hold, **values)


def settle(owner: str, limits: Limits, given: Mapping[str, float]) -> dict[str, float]:
    """Every parameter of `limits`: as given, or typical.

    Raises:
        ArtefactError: a name `limits` does not have, or a value outside them.
    """
    if unknown := given.keys() - limits.keys():
        raise ArtefactError(
            f"{owner}: no parameter {', '.join(sorted(unknown))}; there are {', '.join(limits) or 'none'}"
        )
    for name, value in given.items():
        limit = limits[name]
        if not limit.holds(value):
            whole = "whole, " if limit.whole else ""
            raise ArtefactError(f"{owner}: {name} is {value}, possible is {whole}{limit.low}-{limit.high} {limit.unit}")
    return {name: given.get(name, limit.typical) for name, limit in limits.items()}
