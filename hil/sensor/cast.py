"""From a stage to surfaces: makes the people and artefacts a stage names, once each."""

from dataclasses import fields
from pathlib import Path
from typing import Any

from hil.artefacts import bent_print, flat_print, phone_screen
from hil.artefacts.instrument import Attacker, Hold
from hil.artefacts.species import SPECIES
from hil.people import Head, PeopleError, james, virtual_person
from hil.people.actor import NEUTRAL, Actor
from hil.people.living import Prompt
from hil.people.makehuman_moving import moving
from hil.people.names import find
from hil.sensor.scene import Performance, Placed, Pose, Scene
from hil.sensor.stage import SHEETS, Alive, James, Stage, Subject
from hil.sensor.surface import Surface

KEPT = 8  # a head with its texture takes some 5 MB
_SHEETS = dict(zip(SHEETS, (flat_print, bent_print, phone_screen), strict=True))
# two people share the view: the subject makes room, the other stands a little behind
SUBJECT_BESIDE_MM = -95.0
SECOND_BESIDE_MM = 115.0
SECOND_BEHIND_MM = 70.0


class Cast:
    """Makes and keeps the surfaces of recent stages."""

    def __init__(self, data_dir: Path | None) -> None:
        """`data_dir`: where the real scan lies, or None if no stage will name it."""
        moving()  # reads what people are made of now: opening a camera may take long, its first frame may not
        self._data_dir = data_dir
        self._actors: dict[str, Actor] = {}
        self._heads: dict[Subject, Head] = {}
        self._held: dict[tuple[Subject, str], Surface] = {}
        self._performed: dict[Any, Performance] = {}

    def scene(
        self,
        stage: Stage,
        pose: Pose,
        second_sway: Pose,
        at_s: float = 0.0,
        heard: tuple[Prompt, ...] = (),
    ) -> Scene:
        """The scene of `stage` with its subject at `pose`, but for what it does by itself where it lives.

        Args:
            stage: who stands there; its prompts do not count.
            pose: of the subject.
            second_sway: how far off its place the second is.
            at_s: time of the performance.
            heard: what was asked until then, on the performance's clock.

        Raises:
            PeopleError: somebody cannot be made.
        """
        if stage.subject is None:
            return Scene()
        if lives(stage):
            off = _less(pose, Pose(z_mm=Hold().distance_mm))
            placed = tuple(Placed(at.surface, at.pose.moved(off)) for at in self._performance(stage, heard)(at_s))
        else:
            placed = (Placed(self._surface(stage.subject, stage.artefact), pose),)
        if stage.second is None:
            return Scene(placed)
        beside = Pose(x_mm=SECOND_BESIDE_MM, z_mm=stage.distance_mm + SECOND_BEHIND_MM).moved(second_sway)
        return Scene((*placed, Placed(self._head(stage.second), beside)))

    def _performance(self, stage: Stage, heard: tuple[Prompt, ...]) -> Performance:
        """What the subject does, or what somebody does with the instrument made after them: where `Hold` has them."""
        assert isinstance(stage.subject, Alive)
        key = (stage.subject, stage.artefact, stage.wearer, heard)
        if key not in self._performed:
            _make_room(self._performed)
            self._performed[key] = self._perform(stage.subject, stage.artefact, stage.wearer, heard)
        return self._performed[key]

    def _perform(self, subject: Alive, artefact: str | None, wearer: str, heard: tuple[Prompt, ...]) -> Performance:
        actor = self._actor(subject.who)
        if artefact is not None:
            species = SPECIES[artefact]
            behind = self._actor(wearer) if species.worn else None
            return species.perform(actor, Attacker(subject.seed, behind, heard))
        person = Attacker(subject.seed, None, heard)

        def at(time_s: float) -> tuple[Placed, ...]:
            expression, pose = person.act(Hold(), time_s)
            return tuple(Placed(part, pose) for part in actor.surfaces(expression))

        return at

    def _surface(self, subject: Subject, artefact: str | None) -> Surface:
        head = self._head(subject)
        if artefact is None:
            return head
        key = (subject, artefact)
        if key not in self._held:
            _make_room(self._held)
            self._held[key] = _SHEETS[artefact](head, seed=1)
        return self._held[key]

    def _head(self, subject: Subject) -> Head:
        if subject not in self._heads:
            _make_room(self._heads)
            self._heads[subject] = self._make(subject)
        return self._heads[subject]

    def _make(self, subject: Subject) -> Head:
        if isinstance(subject, Alive):
            return self._actor(subject.who).head(NEUTRAL)
        if not isinstance(subject, James):
            return virtual_person(subject.seed)
        if self._data_dir is None:
            raise PeopleError("the stage names james: give the camera option `data`, the folder with scans/james.npz")
        return james(self._data_dir)

    def _actor(self, who: str) -> Actor:
        if who not in self._actors:
            _make_room(self._actors)
            self._actors[who] = find(who, self._data_dir)
        return self._actors[who]


def lives(stage: Stage) -> bool:
    """Whether what stands there moves by itself, or is moved by whoever holds or wears it: no sway is added to it."""
    return isinstance(stage.subject, Alive) and stage.artefact not in SHEETS


def pose_of(stage: Stage) -> Pose:
    """Where the subject of `stage` ends up."""
    x_mm = SUBJECT_BESIDE_MM if stage.second is not None else 0.0
    return Pose(x_mm=x_mm, z_mm=stage.distance_mm, yaw_deg=stage.yaw_deg, pitch_deg=stage.pitch_deg)


def _less(pose: Pose, other: Pose) -> Pose:
    return Pose(**{field.name: getattr(pose, field.name) - getattr(other, field.name) for field in fields(Pose)})


def _make_room(kept: dict[Any, Any]) -> None:
    while len(kept) >= KEPT:
        del kept[next(iter(kept))]
