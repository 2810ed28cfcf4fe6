"""`tessera doctor`: camera, models, keys, stores, broker: what is there, what is wrong, what to do."""

import contextlib
import socket
import ssl
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from drivers import plugins
from drivers.camera import CameraError, open_camera
from drivers.npu.interface import NetworkError
from drivers.plugins import PluginError
from drivers.secure_element.interface import SecureElementError
from firmware.commands.people import ConfigOption
from firmware.core.client import ask, control
from firmware.core.errors import TerminalError
from firmware.core.parts import open_analyst, open_parts
from firmware.gallery.gallery import GalleryError
from firmware.payment.errors import PaymentError
from firmware.payment.trust import load_trust
from firmware.runtime.config import Config, Profile, load_config
from firmware.runtime.messages import Status
from firmware.vision.calibration import CalibrationError
from firmware.vision.networks import DEPTH_EMBEDDER, DETECTOR, EMBEDDER, runtime_of

BROKER_TIMEOUT_S = 3.0
EXPECTED = (
    CameraError, CalibrationError, GalleryError, NetworkError, OSError, PaymentError, PluginError, SecureElementError,
    TerminalError,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at; `text` says what is there, or what is wrong and what to do."""

    name: str
    good: bool
    text: str


def doctor(config: ConfigOption) -> None:
    """Look at everything this terminal needs; exit code 1 if anything is wrong."""
    loaded, profile = load_config(config)
    console = Console()
    table = Table("", "what", "finding")
    checks = []
    with console.status("looking"):
        for check in examine(loaded, profile):
            checks.append(check)
            table.add_row("[green]ok[/green]" if check.good else "[red]!![/red]", check.name, check.text)
    console.print(table)
    if not all(check.good for check in checks):
        sys.exit(1)


def examine(config: Config, profile: Profile) -> Iterator[Check]:
    """Yield one check after another; none changes anything, and none stops the others."""
    running = _check("terminal", lambda: _terminal(config))
    yield Check("configuration", True, f"profile {profile.name}, terminal {config.terminal}")
    yield running
    yield _check("networks", lambda: _networks(config, profile))
    yield _check("secure element", lambda: _element(config))
    yield _check("backend keys", lambda: (load_trust(Path(config.backend.keys)), "pinned keys can be read")[1])
    yield _check("broker", lambda: _broker(config))
    # A running terminal holds its stores and its camera: its own word stands above.
    if not running.good:
        yield _check("stores", lambda: _stores(config, profile))
        yield _check("camera", lambda: _camera(config, profile))


def _check(name: str, look: Callable[[], str]) -> Check:
    try:
        return Check(name, True, look())
    except EXPECTED as error:
        return Check(name, False, str(error))


def _terminal(config: Config) -> str:
    with control(config) as core:
        status = ask(core, Status(), timeout_s=5)
    return (
        f"running for {status.uptime_s:.0f} s: {status.session}; camera {status.camera}; link {status.link}; "
        f"{status.people} enrolled; {status.outbox_waiting} waiting in the outbox"
    )


def _networks(config: Config, profile: Profile) -> str:
    site = Path(config.site_calibration) if config.site_calibration is not None else None
    _, judge, digest = open_analyst(profile, Path(config.models_dir), site, config.npu)
    runs_on = ", ".join(
        f"{name} on {runtime_of(name, config.npu.runtime)}" for name in (DETECTOR, EMBEDDER, DEPTH_EMBEDDER)
    )
    return (
        f"verified against the manifest; {runs_on}; scores of {judge.calibration.population} people, evidence "
        f"{judge.calibration.kind}, false matches {judge.mode.rate:g}; thresholds {digest.hex()[:16]}"
    )


def _element(config: Config) -> str:
    element = plugins.load(plugins.SECURE_ELEMENTS, config.secure_element.backend)(config.secure_element.options)
    can = ", ".join(sorted(capability.value for capability in element.capabilities)) or "nothing in hardware"
    return f"{config.secure_element.backend}: opens; it can do: {can}"


def _stores(config: Config, profile: Profile) -> str:
    with contextlib.closing(open_parts(config, profile)) as parts:
        return f"gallery: {len(parts.gallery)} enrolled; outbox: {parts.outbox.waiting()} waiting"


def _broker(config: Config) -> str:
    address = (config.link.host, config.link.port)
    where = f"{config.link.host}:{config.link.port}"
    try:
        with socket.create_connection(address, BROKER_TIMEOUT_S) as plain:
            if config.link.tls is None:
                return f"{where} answers, without TLS: demonstration only"
            context = ssl.create_default_context(cafile=config.link.tls.ca)
            context.load_cert_chain(config.link.tls.certificate, config.link.tls.key)
            with context.wrap_socket(plain, server_hostname=config.link.host) as secured:
                return f"{where} answers over {secured.version()}"
    except OSError as error:
        raise TerminalError(
            f"{where}: {error}; is the broker running, and is this terminal's certificate valid?"
        ) from error


def _camera(config: Config, profile: Profile) -> str:
    camera = open_camera(config.camera.source, config.camera.options)
    try:
        info = camera.info
        if config.camera.serial not in (None, info.serial):
            raise TerminalError(f"camera {info.serial} is there, the configuration wants {config.camera.serial}")
        if profile.require_flood and not info.flood:
            raise TerminalError(f"camera {info.serial} has no flood light; profile {profile.name} needs one")
        camera.start()
        frames = camera.read(timeout_s=5.0)
        camera.stop()
        return f"{info.serial}: {frames.ir.shape[1]}x{frames.ir.shape[0]}, first frame received"
    finally:
        camera.close()
