"""Which camera a `tessera camera` command means, and opening it.

Rules kept here:
- Either a terminal's own (`--config`), or any plug-in (`--source`, `--option`); never both.
- A terminal that runs keeps its camera, and one does not start while a command has it: both hold the same lock.
- Whatever ends a command, its camera is stopped and closed.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from drivers import plugins
from drivers.camera import Camera, CameraNotFoundError, open_camera
from drivers.camera.structured_light import ExposureSource
from firmware.commands.lit import LitCamera, LitExposures
from firmware.core.errors import TerminalError
from firmware.runtime.config import Config, EmitterConfig, Profile, load_config
from firmware.runtime.lights import Lights
from firmware.runtime.lock import run_lock
from firmware.runtime.process import SupervisorError

Opener = Callable[[str, Mapping[str, object]], Camera]

Value = str | int | float | bool

ConfigChoice = Annotated[
    Path | None, typer.Option("--config", metavar="FILE", help="A terminal's configuration: its camera.")
]
SourceChoice = Annotated[
    str | None, typer.Option("--source", metavar="NAME", help="A camera plug-in instead; `camera list` names them.")
]
OptionChoice = Annotated[
    list[str] | None,
    typer.Option("--option", metavar="KEY=VALUE", help="An option of that plug-in, such as path=a.mcap; repeatable."),
]
ReflectanceChoice = Annotated[
    float,
    typer.Option(min=0.05, max=1.0, metavar="SHARE", help="Of the flat target, at the flood's wavelength."),
]


@dataclass(frozen=True)
class Choice:
    """A camera that was asked for. `config` and `profile` are the terminal's, or None."""

    source: str
    options: dict[str, Value] = field(default_factory=dict)
    config: Config | None = None
    profile: Profile | None = None

    @property
    def emitter(self) -> EmitterConfig | None:
        """The terminal's emitter board, if any: lit while the camera captures, whoever owns it in service."""
        return self.config.emitter if self.config is not None else None

    @property
    def serial(self) -> str | None:
        """The pinned serial number, if any."""
        return self.config.camera.serial if self.config is not None else None

    @property
    def calibration_digest(self) -> str | None:
        """The pinned calibration digest or its beginning, if any."""
        return self.config.camera.calibration_digest if self.config is not None else None


def choose(config: Path | None, source: str | None, options: Sequence[str] | None) -> Choice:
    """Return what the options mean.

    Raises:
        TerminalError: neither or both of `--config` and `--source`, or an option that is not KEY=VALUE.
        ConfigError: the configuration cannot be used.
    """
    if (config is None) == (source is None):
        raise TerminalError("say which camera: --config terminal.toml, or --source NAME with --option KEY=VALUE")
    if config is not None:
        if options:
            raise TerminalError("--option goes with --source; a terminal's options stand in its file")
        loaded, profile = load_config(config)
        return Choice(loaded.camera.source, dict(loaded.camera.options), loaded, profile)
    assert source is not None
    return Choice(source, dict(_option(text) for text in options or ()))


def _option(text: str) -> tuple[str, Value]:
    key, equals, written = text.partition("=")
    if not (key and equals):
        raise TerminalError(f"--option {text!r}: expected KEY=VALUE, such as path=a.mcap")
    return key, written if key == "serial" else _value(written)


def _value(written: str) -> Value:
    """As TOML reads it, where it is a value there; else the text itself, so that a path needs no quotes."""
    try:
        read = msgspec.toml.decode(f"value = {written}", type=dict[str, Value])
    except msgspec.MsgspecError:
        return written
    return read["value"] if read.keys() == {"value"} else written


@contextmanager
def opened(choice: Choice, opener: Opener | None = None) -> Iterator[Camera]:
    """Open the camera, by `opener` where it is not opened as usual; stop and close it afterwards, whatever happens.

    Raises:
        TerminalError: the terminal it belongs to is running.
        CameraError: it cannot be opened.
    """
    with _held(choice), ExitStack() as stack:
        camera = (opener or open_camera)(choice.source, choice.options)
        if (emitter := choice.emitter) is not None:
            camera = LitCamera(camera, Lights(emitter))
        stack.callback(camera.close)
        stack.callback(camera.stop)
        yield camera


@contextmanager
def opened_exposures(choice: Choice) -> Iterator[ExposureSource]:
    """Open the bare sensor of a structured-light module; stop and close it afterwards, whatever happens.

    Raises:
        TerminalError: as `opened`; or this plug-in is no such module.
        CameraError: it cannot be opened.
    """
    modules = plugins.names(plugins.EXPOSURES)
    if choice.source not in modules:
        raise TerminalError(f"`{choice.source}` has no calibration of ours; these have: {', '.join(modules)}")
    with _held(choice), ExitStack() as stack:
        try:
            source: ExposureSource = plugins.load(plugins.EXPOSURES, choice.source)(choice.options)
        except msgspec.ValidationError as error:
            raise CameraNotFoundError(f"camera.options of `{choice.source}`: {error}") from error
        if (emitter := choice.emitter) is not None:
            source = LitExposures(source, Lights(emitter))
        stack.callback(source.close)
        stack.callback(source.stop)
        yield source


@contextmanager
def _held(choice: Choice) -> Iterator[None]:
    """Hold the lock of the terminal whose camera it is. Raises TerminalError where that runs."""
    with ExitStack() as stack:
        # where there is no run directory no terminal runs, and a command makes none
        if choice.config is not None and (run_dir := Path(choice.config.run_dir)).is_dir():
            try:
                stack.enter_context(run_lock(run_dir, "(`tessera camera`)"))
            except SupervisorError as error:
                raise TerminalError(f"the camera is in use: {error}") from error
        yield
