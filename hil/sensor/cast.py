"""From a stage to surfaces: makes the people and artefacts a stage names, once each."""

from pathlib import Path
from typing import Any

from hil.artefacts import bent_print, flat_print, phone_screen
from hil.people import Head, PeopleError, james, virtual_person
from hil.sensor.scene import Placed, Pose, Scene
from hil.sensor.stage import James, Stage, Subject
from hil.sensor.surface import Surface

KEPT = 8  # a head with its texture takes some 5 MB
_ARTEFACTS = {"flat_print": flat_print, "bent_print": bent_print, "phone_screen": phone_screen}
# two people share the view: the subject makes room, the other stands a little behind
SUBJECT_BESIDE_MM = -95.0
SECOND_BESIDE_MM = 115.0
SECOND_BEHIND_MM = 70.0


class Cast:
    """Makes and keeps the surfaces of recent stages."""

    def __init__(self, data_dir: Path | None) -> None:
        """`data_dir`: where the real scan lies, or None if no stage will name it."""
        self._data_dir = data_dir
        self._heads: dict[Subject, Head] = {}
        self._held: dict[tuple[Subject, str], Surface] = {}

    def surface(self, stage: Stage) -> Surface | None:
        """What the subject of `stage` shows the camera. Raises PeopleError."""
        if stage.subject is None:
            return None
        head = self._head(stage.subject)
        if stage.artefact is None:
            return head
        key = (stage.subject, stage.artefact)
        if key not in self._held:
            _make_room(self._held)
            self._held[key] = _ARTEFACTS[stage.artefact](head, seed=1)
        return self._held[key]

    def scene(self, stage: Stage, pose: Pose, second_sway: Pose) -> Scene:
        """The scene of `stage` with its subject at `pose`. Raises PeopleError."""
        surface = self.surface(stage)
        if surface is None:
            return Scene()
        if stage.second is None:
            return Scene((Placed(surface, pose),))
        beside = Pose(x_mm=SECOND_BESIDE_MM, z_mm=stage.distance_mm + SECOND_BEHIND_MM).moved(second_sway)
        return Scene((Placed(surface, pose), Placed(self._head(stage.second), beside)))

    def _head(self, subject: Subject) -> Head:
        if subject not in self._heads:
            _make_room(self._heads)
            self._heads[subject] = self._make(subject)
        return self._heads[subject]

    def _make(self, subject: Subject) -> Head:
        if not isinstance(subject, James):
            return virtual_person(subject.seed)
        if self._data_dir is None:
            raise PeopleError("the stage names james: give the camera option `data`, the folder with scans/james.npz")
        return james(self._data_dir)


def pose_of(stage: Stage) -> Pose:
    """Where the subject of `stage` ends up."""
    x_mm = SUBJECT_BESIDE_MM if stage.second is not None else 0.0
    return Pose(x_mm=x_mm, z_mm=stage.distance_mm, yaw_deg=stage.yaw_deg, pitch_deg=stage.pitch_deg)


def _make_room(kept: dict[Any, Any]) -> None:
    while len(kept) >= KEPT:
        del kept[next(iter(kept))]
