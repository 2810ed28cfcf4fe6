"""Who stands before a virtual sensor at any time, as a stage file says: it is looked at again whenever it changes."""

from collections.abc import Callable
from pathlib import Path

from hil.people.living import Prompt
from hil.sensor.cast import Cast, lives, pose_of
from hil.sensor.motion import eased, sway
from hil.sensor.scene import Pose, Scene
from hil.sensor.stage import Stage, read_stage


class Standing:
    """Follows one stage file: what it names stands there, sways a little, and moves smoothly to where it is told.

    Who lives does what they do by themselves, from the start of the capture on.
    """

    def __init__(self, path: Path, data: Path | None, seed: int, clock_ns: Callable[[], int]) -> None:
        """`data`: folder of the real scan; `seed`: of the swaying. Nothing is read before `look`."""
        self._path, self._cast, self._seed, self._clock_ns = path, Cast(data), seed, clock_ns
        self.stage = Stage()
        self._version: tuple[int, int] | None = None
        self._from = self._goal = Pose()
        self._heard: tuple[Prompt, ...] = ()
        self._moved_ns = self._began_ns = 0

    def begin(self, now_ns: int) -> None:
        """Forget where anything stood; the performance begins at `now_ns` of the clock."""
        self._version, self._began_ns = None, now_ns

    def look(self) -> None:
        """Read the file again if it has changed. Raises OSError, StageError."""
        status = self._path.stat()
        version = (status.st_mtime_ns, status.st_ino)  # two quick replacements may share a time, not an inode
        if version == self._version:
            return
        stage = read_stage(self._path)
        now_ns = self._clock_ns()
        same_thing = self._version is not None and (stage.subject, stage.artefact) == (
            self.stage.subject,
            self.stage.artefact,
        )
        self._goal, start = pose_of(stage), self._pose(now_ns)
        self._from = start if same_thing else self._goal
        self._heard = tuple(Prompt(asked.kind, (asked.at_ns - self._began_ns) / 1e9) for asked in stage.prompts)
        self.stage, self._version, self._moved_ns = stage, version, now_ns

    def scene(self, at_s: float, now_ns: int) -> Scene:
        """What is there at `at_s` seconds of the performance, `now_ns` of the clock. Raises PeopleError."""
        pose = self._pose(now_ns)
        if not lives(self.stage):
            pose = pose.moved(sway(at_s, self._seed))
        return self._cast.scene(self.stage, pose, sway(at_s, self._seed + 1), at_s, self._heard)

    def _pose(self, now_ns: int) -> Pose:
        return eased(self._from, self._goal, (now_ns - self._moved_ns) / 1e9)
