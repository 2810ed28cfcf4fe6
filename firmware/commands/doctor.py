"""`tessera doctor`: camera, models, keys, stores, broker: what is there, what is wrong, what to do."""

import sys
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path

from rich.console import Console

from drivers import plugins
from drivers.camera import FAULTS, CameraError, list_cameras
from drivers.npu.interface import NetworkError
from drivers.plugins import PluginError
from drivers.secure_element.interface import Capability, SecureElementError
from firmware.audit.errors import AuditError
from firmware.commands.camera_capture import capture
from firmware.commands.camera_choice import Choice, opened
from firmware.commands.camera_report import health_of, identity
from firmware.commands.doctor_backend import broker_answer, keys_in_hand
from firmware.commands.findings import Finding, table_of
from firmware.commands.login import ConfigOption
from firmware.core.attempts import AttemptsError
from firmware.core.client import ask, control
from firmware.core.errors import TerminalError
from firmware.core.parts import open_analyst, open_parts
from firmware.core.stand import OUT_OF_SERVICE
from firmware.gallery.consent import ConsentError
from firmware.gallery.gallery import GalleryError
from firmware.gallery.notice import load_notice
from firmware.liveness.cues.network import NETWORK as LIVENESS
from firmware.liveness.look import load_basis
from firmware.payment.errors import PaymentError
from firmware.runtime.config import Config, EmitterConfig, Profile, load_config
from firmware.runtime.lights import open_board
from firmware.runtime.messages import Status, StatusReply
from firmware.vision.calibration import CalibrationError
from firmware.vision.networks import DEPTH_EMBEDDER, DETECTOR, EMBEDDER, IRIS, MESH, runtime_of

PUT_BACK = "was put back from a copy: nothing is authorized from it offline; once nothing waits, put it aside"
EXPECTED = (
    AttemptsError, AuditError, CameraError, CalibrationError, ConsentError, GalleryError, NetworkError, OSError,
    PaymentError, PluginError, SecureElementError, TerminalError,
)  # fmt: skip


def doctor(config: ConfigOption) -> None:
    """Look at everything this terminal needs; exit code 1 if anything is wrong."""
    loaded, profile = load_config(config)
    console = Console()
    with console.status("looking"):
        findings = list(examine(loaded, profile))
    console.print(table_of(findings))
    if any(finding.good is False for finding in findings):
        sys.exit(1)


def examine(config: Config, profile: Profile) -> Iterator[Finding]:
    """Yield one finding after another; none changes anything, and none stops the others."""
    yield Finding("configuration", True, f"profile {profile.name}, terminal {config.terminal}")
    status = _status(config)
    if status is None:
        yield Finding("terminal", None, "not running; start it with `tessera run`")
    elif isinstance(status, TerminalError):
        yield Finding("terminal", False, str(status))
    else:
        yield from running(status)
    yield _look("networks", lambda: _networks(config, profile))
    yield _look("liveness", lambda: load_basis(profile.liveness).told)
    yield _look("backend keys", lambda: keys_in_hand(config, profile))
    yield _look("broker", lambda: broker_answer(config))
    yield _look("notice", lambda: f"version {load_notice(config.privacy).version}: what people are told")
    # A running terminal holds its secure element, stores, camera and emitter: its own word stands above.
    if status is None:
        yield _look("secure element", lambda: _element(config))
        yield _look("stores", lambda: _stores(config, profile))
        yield from camera_findings(config, profile)
        if (emitter := config.emitter) is not None:
            yield _look("emitter", lambda: _emitter(emitter))


def running(status: StatusReply) -> Iterator[Finding]:
    """What a running terminal says of itself; a camera's fault with what to do."""
    yield Finding(
        "terminal",
        not status.session.startswith(OUT_OF_SERVICE),
        f"running for {status.uptime_s:.0f} s: {status.session}; link {status.link}; "
        f"{status.people} enrolled; {status.outbox_waiting} waiting in the outbox",
    )
    cause = status.camera.partition(":")[0]
    told = FAULTS.get(cause)  # type: ignore[call-overload]
    yield Finding("camera", told is None, f"{status.camera}. {' '.join(told)}" if told else status.camera)
    if status.put_back:
        yield Finding("outbox", None, PUT_BACK)
    yield Finding("time", not status.clock, status.clock or "by the backend's word, and the seconds since")
    yield Finding("offline payments", None, status.offline or "may be taken, within what the backend allows")
    if status.tries:
        yield Finding("failed tries", None, f"in which nobody was claimed: {status.tries}")
    if status.advice:
        yield Finding("advice", None, status.advice)


def camera_findings(config: Config, profile: Profile) -> Iterator[Finding]:
    """Who the camera is, against what is pinned, how it is connected, and whether a frame comes."""
    choice = Choice(config.camera.source, dict(config.camera.options), config, profile)
    try:
        with opened(choice) as camera:
            yield from identity(camera.info, choice)
            yield from _connection(choice.source, camera.info.serial)
            with closing(capture(camera, choice)) as coming:
                frames = next(coming)
            height, width = frames.ir.shape
            yield Finding("first frame", True, f"{width}x{height}; how it goes on: `tessera camera check`")
            yield from health_of(camera.health)
    except CameraError as error:
        yield Finding("camera", False, f"{error.cause}: {error}. {FAULTS[error.cause][1]}")
    except EXPECTED as error:
        yield Finding("camera", False, str(error))


def _connection(source: str, serial: str) -> Iterator[Finding]:
    """What its plug-in sees on the bus, such as the type of USB, where it can look."""
    if source in plugins.names(plugins.CAMERA_LISTS):
        for found in list_cameras(source):
            if found.serial == serial:
                yield Finding("connection", None, found.description)


def _look(name: str, look: Callable[[], str]) -> Finding:
    try:
        return Finding(name, True, look())
    except EXPECTED as error:
        return Finding(name, False, str(error))


def _status(config: Config) -> StatusReply | TerminalError | None:
    """What the terminal says of itself; None where it does not run, an error where it runs and does not answer."""
    with suppress(TerminalError), control(config) as core:
        try:
            status: StatusReply = ask(core, Status(), timeout_s=5)
            return status
        except TerminalError as error:
            return error
    return None


def _emitter(config: EmitterConfig) -> str:
    with closing(open_board(config)) as board:
        limits = board.limits
        return (
            f"board {board.serial}, firmware {board.firmware}, at {config.port}; its limit table is signed for it: "
            f"{limits.wavelength_nm} nm, dark {limits.heartbeat_ms} ms after the last heartbeat"
        )


def _networks(config: Config, profile: Profile) -> str:
    site = Path(config.site_calibration) if config.site_calibration is not None else None
    analyst, judge, digest = open_analyst(profile, Path(config.models_dir), site, config.npu)
    names = (DETECTOR, EMBEDDER, DEPTH_EMBEDDER, MESH, IRIS, *([] if analyst.basis.network is None else [LIVENESS]))
    runs_on = ", ".join(f"{name} on {runtime_of(name, config.npu.runtime)}" for name in names)
    return (
        f"verified against the manifest; {runs_on}; scores of {judge.calibration.population} people, evidence "
        f"{judge.calibration.kind}, false matches {judge.mode.rate:g}; thresholds {digest.hex()[:16]}"
    )


def _element(config: Config) -> str:
    opened = plugins.load(plugins.SECURE_ELEMENTS, config.secure_element.backend)(config.secure_element.options)
    with closing(opened) as element:
        capabilities = element.capabilities
        can = ", ".join(sorted(capability.value for capability in capabilities)) or "nothing in hardware"
        if Capability.HARDWARE_KEY in capabilities and Capability.PLATFORM_SEALING not in capabilities:
            can += "; nothing ties its keys to how this board was started"
    return f"{config.secure_element.backend}: opens; it can do: {can}"


def _stores(config: Config, profile: Profile) -> str:
    with closing(open_parts(config, profile)) as parts:
        outbox = f"{parts.outbox.waiting()} waiting" + (f"; it {PUT_BACK}" if parts.outbox.put_back else "")
        return f"gallery: {len(parts.gallery)} enrolled; outbox: {outbox}"
