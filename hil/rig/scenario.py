"""What to render: one take, or a TOML scenario of several.

Rules kept here:
- A scenario is decoded strictly: an unknown key, a wrong type or an impossible take is a `ScenarioError` naming it.
- A scan is somebody's real head: without their consent, in words, it is not rendered into a recording.
- Every number is bounded: what a file asks for can be rendered.
"""

import sys
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta

from hil.artefacts.species import SPECIES
from hil.artefacts.streams import STREAMS
from hil.people.living import PromptKind
from hil.people.names import PERSON
from hil.sensor.presets import PRESETS

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

MAX_SCENARIO_BYTES = 64 * 1024
MAX_TAKES = 200
MAX_STREAM_FRAMES = 300  # a stream holds the earlier recording and the live one in memory
BONA_FIDE = "none"


class ScenarioError(ValueError):
    """A scenario asks for something that is not there or not possible; the message names it."""


class Ask(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A prompt shown `at_s` seconds into the take."""

    kind: PromptKind
    at_s: Annotated[float, Meta(ge=0, le=60)]


class Take(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One recording to make.

    Attributes:
        out: file name of the recording.
        person: `makehuman-N`, `ict-N`, `virtual-N` or `james`: the victim, or who stands there. This or `scan`.
        scan: mesh of a real head, .obj.
        texture: its picture.
        wearer: who wears a worn instrument, or stands before the camera while a stream is injected.
        artefact: a species, a stream, or `none` for a bona fide presentation.
        sensor: preset.
        width: 640 or 1280 pixels.
        seed: of everything drawn.
        seconds: length.
        fps: FrameSets a second.
        parameters: of the artefact or of holding it; the rest are typical.
        prompts: what is asked, and when.
        consent: whose consent covers it; made-up people need none.
    """

    out: Annotated[str, Meta(pattern=r"^[\w.-]{1,100}\.mcap$")]
    person: Annotated[str, Meta(max_length=32)] | None = None
    scan: str | None = None
    texture: str | None = None
    wearer: Annotated[str, Meta(max_length=32)] = "makehuman-13"
    artefact: str = BONA_FIDE
    sensor: str = "structured-light"
    width: int = 640
    seed: Annotated[int, Meta(ge=0, le=2**31)] = 0
    seconds: Annotated[float, Meta(gt=0, le=120)] = 2.0
    fps: Annotated[float, Meta(ge=1, le=60)] = 15.0
    parameters: dict[str, float] = {}
    prompts: Annotated[tuple[Ask, ...], Meta(max_length=20)] = ()
    consent: Annotated[str, Meta(max_length=500)] = ""

    def __post_init__(self) -> None:
        """Refuse what cannot be rendered. Raises ScenarioError."""
        if (self.person is None) == (self.scan is None):
            raise ScenarioError(f"{self.out}: say who is shown: either `person` or `scan`")
        for who in (self.person, self.wearer):
            if who is not None and not PERSON.fullmatch(who):
                raise ScenarioError(
                    f"{self.out}: {who!r} is nobody: people are virtual-N, makehuman-N, ict-N and james"
                )
        if self.texture is not None and self.scan is None:
            raise ScenarioError(f"{self.out}: `texture` belongs to a `scan`")
        if self.scan is not None and not self.consent.strip():
            raise ScenarioError(f"{self.out}: a scan shows a real person: say whose consent covers it (`consent`)")
        _one_of(self.out, "artefact", self.artefact, (BONA_FIDE, *SPECIES, *STREAMS))
        _one_of(self.out, "sensor", self.sensor, PRESETS)
        _one_of(self.out, "width", self.width, (640, 1280))
        if self.artefact in STREAMS and self.frames > MAX_STREAM_FRAMES:
            raise ScenarioError(f"{self.out}: {self.frames} frames; a stream has at most {MAX_STREAM_FRAMES}")

    @property
    def frames(self) -> int:
        """How many FrameSets it has."""
        return max(1, round(self.seconds * self.fps))


class Scenario(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Several takes: `take` is TOML's `[[take]]`; `about` says what for."""

    about: str
    take: Annotated[tuple[Take, ...], Meta(min_length=1, max_length=MAX_TAKES)]

    def __post_init__(self) -> None:
        """Refuse two takes in one file. Raises ScenarioError."""
        names = [take.out for take in self.take]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ScenarioError(f"two takes are called {', '.join(twice)}")


_Kind = TypeVar("_Kind", Take, Scenario)


def read_scenario(path: Path) -> Scenario:
    """Read a scenario; paths of scans in it are relative to its folder.

    Raises:
        ScenarioError: it is missing, too large, not TOML, or not a scenario.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_SCENARIO_BYTES + 1)
    except OSError as error:
        raise ScenarioError(f"{path}: cannot be read: {error.strerror}") from error
    if len(raw) > MAX_SCENARIO_BYTES:
        raise ScenarioError(f"{path}: larger than {MAX_SCENARIO_BYTES} bytes")
    try:
        values: Any = tomllib.loads(raw.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ScenarioError(f"{path}: not TOML: {error}") from error
    scenario = _checked(values, Scenario, str(path))
    placed = tuple(
        msgspec.structs.replace(
            take,
            scan=None if take.scan is None else str(path.parent / take.scan),
            texture=None if take.texture is None else str(path.parent / take.texture),
        )
        for take in scenario.take
    )
    return msgspec.structs.replace(scenario, take=placed)


def take_of(**values: object) -> Take:
    """One take from what a command line says. Raises ScenarioError."""
    return _checked(values, Take, "take")


def _checked(values: object, kind: type[_Kind], where: str) -> _Kind:
    try:
        return msgspec.convert(values, kind)
    except msgspec.ValidationError as error:
        raise ScenarioError(f"{where}: {error}") from error


def _one_of(out: str, what: str, value: object, known: tuple[object, ...]) -> None:
    if value not in known:
        raise ScenarioError(f"{out}: no {what} {value!r}: there are {', '.join(map(str, known))}")
