"""One TOML file, decoded strictly into frozen structs.

Rules kept here:
- An unknown key, a value outside its unit's sensible range or an impossible combination is a `ConfigError`
  that names the file, the key and the reason.
- A profile is data shipped in the package (`profiles/*.toml`). A configuration picks one by name and cannot
  change any of it: what a terminal must not do is not an option.
- Units stand in the names: `_s` seconds, `_mm` millimetres, `_minor` the currency's minor unit.
"""

import difflib
import hashlib
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Literal, TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
from msgspec import Meta

from drivers.emitter.patterns import Pattern

PROFILES = ("demo", "payment", "payment_high", "rig")
MAX_CONFIG_BYTES = 64 * 1024
# what the board must light for the cameras known here
_PATTERNS: dict[str, Pattern] = {
    "realsense": "every-third-flood",
    "structured-light": "dark-flood-dots",
    "virtual-exposures": "dark-flood-dots",
}

Name = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*\Z")]
Line = Annotated[str, Meta(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]*\Z")]
# BCP 47: language, script, region
Language = Annotated[str, Meta(max_length=11, pattern=r"^[a-z]{2,3}(-[A-Z][a-z]{3})?(-([A-Z]{2}|[0-9]{3}))?\Z")]
NoticeVersion = Annotated[str, Meta(max_length=32, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*\Z")]
RetentionDays = Annotated[int, Meta(ge=1, le=1095)]  # BIPA, 740 ILCS 14/15(a): three years


class ConfigError(Exception):
    """A configuration or profile that cannot be used; the message names file, key and reason."""


class _Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A strictly decoded TOML table."""


class Profile(_Table, frozen=True):
    """What a kind of terminal may and must do. Shipped, never configured.

    Attributes:
        environment: whose backend keys it believes: those of a demonstration, or of production. Never both.
        population: which score calibration holds: rendered people or real ones. Never mixed.
        policy: what counts as a recognition (`vision/policy.toml`).
        liveness: what counts as a living face (`liveness/policy.toml`).
        tell_values: whether precise reasons and values of evidence are told, or only what a customer may know.
        allow_hil: whether plug-ins of the test rig may be used.
        software_key: whether the device key may live in an encrypted file.
        require_flood: whether the camera must have a flood light of its own.
        require_assurance: evidence an authorization must carry; `geometry` is static 3D only, `dynamic_pin` wants a
            PIN as well.
        max_amount_minor: largest amount paid by face, in the currency's minor unit.
        look_s: how long the customer has, seconds.
        tap_s: how long the terminal waits for the tap, seconds.
        receipt_s: how long the terminal waits for a receipt before it says "unknown, do not retry", seconds.
        stale_s: oldest frame that may take part in a decision, seconds.
        frames_needed: consecutive good frames before a yes.
    """

    name: Literal["demo", "payment", "payment_high", "rig"]
    environment: Literal["demo", "production"]
    population: Literal["virtual", "real"]
    policy: Literal["payment", "door"]
    liveness: Literal["demo", "door", "payment", "payment_high"]
    tell_values: bool
    allow_hil: bool
    software_key: bool
    require_flood: bool
    require_assurance: Literal["geometry", "dynamic", "dynamic_pin"]
    max_amount_minor: Annotated[int, Meta(ge=1, le=10_000_000)]
    look_s: Annotated[float, Meta(ge=1, le=60)]
    tap_s: Annotated[float, Meta(ge=1, le=300)]
    receipt_s: Annotated[float, Meta(ge=1, le=120)]
    stale_s: Annotated[float, Meta(gt=0, le=1)]
    frames_needed: Annotated[int, Meta(ge=3, le=100)]

    @property
    def digest(self) -> bytes:
        """SHA-256 of the shipped profile file: what an authorization binds as its policy."""
        return hashlib.sha256(_profile_bytes(self.name)).digest()


class CameraConfig(_Table, frozen=True):
    """Which camera plug-in, its own options, and what it must report: a misconfiguration check, not authentication.

    `calibration_digest` is what `tessera camera check` prints, or its first characters, at least 16.
    """

    source: Name
    serial: str | None = None
    calibration_digest: Annotated[str, Meta(pattern="^[0-9a-f]{16,64}$")] | None = None
    options: dict[str, str | int | float | bool] = {}


class EmitterConfig(_Table, frozen=True):
    """The flood and dot board behind a serial line.

    Attributes:
        owner: the process that holds the line, commands levels and beats its heart: `core` where the hardware gives
            it a line of its own, `camera` where board and sensor are one module.
        port: serial device.
        limits: the board's signed limit table.
        key: PEM file of the public key that signs limit tables.
        pattern: which exposures of the camera it lights (`drivers.emitter.patterns`).
    """

    owner: Literal["core", "camera"]
    port: str
    limits: str
    key: str
    pattern: Pattern = "dark-flood-dots"


class SecureElementConfig(_Table, frozen=True):
    """Which secure element plug-in and its own options."""

    backend: Name
    options: dict[str, str | int | float | bool] = {}


class NpuConfig(_Table, frozen=True):
    """Which runtime plug-in the networks run on and its own options; where a network has no file for it: the CPU.

    For a TFLite delegate: `runtime = "tflite"` and `options = { delegate = "/usr/lib/libvx_delegate.so" }`.
    """

    runtime: Name = "onnx"
    options: dict[str, str | int | float | bool] = {}


class TlsConfig(_Table, frozen=True):
    """Mutual TLS to the broker: PEM files. The key is the link's own, never the signing key.

    Attributes:
        ca: the authorities that are pinned; they sign the broker's certificate themselves.
        crl: what they took back; it must not have ended.
        certificate, key: ours; `link` replaces both before they end.
    """

    ca: str
    crl: str
    certificate: str
    key: str


class LinkConfig(_Table, frozen=True):
    """The broker. Without `tls` only 127.0.0.1 in a profile that allows the rig."""

    host: Annotated[str, Meta(min_length=1, max_length=253)]
    port: Annotated[int, Meta(ge=1, le=65535)]
    tls: TlsConfig | None = None


class BackendConfig(_Table, frozen=True):
    """Whom this terminal believes.

    Attributes:
        root: the one public key pinned here, JSON, `{key id in hex: PEM}`: it signs which keys are the backend's.
        keys: the set of keys signed by it that the terminal begins with; newer ones come over the broker.
    """

    root: str
    keys: str


class PrivacyConfig(_Table, frozen=True):
    """Who answers for the faces, and what people are told. Without this table nobody can be enrolled.

    Attributes:
        controller: who answers for it, name and address.
        contact: how to reach them to ask, to withdraw, to complain.
        notice: the file people are shown, all its languages in one; consent binds its SHA-256.
        notice_version: raised with every change of what it says.
        languages: those it is written in.
        time_zone: where the terminal stands, an IANA name: when birthdays begin.
        retention_days: the longest a consent may be for.
        other_way: how to do the same here without a face; there always is one.
    """

    controller: Line
    contact: Line
    notice: str
    notice_version: NoticeVersion
    languages: Annotated[tuple[Language, ...], Meta(min_length=1, max_length=32)]
    time_zone: Annotated[str, Meta(min_length=1, max_length=64)]
    retention_days: RetentionDays
    other_way: Line

    @property
    def zone(self) -> ZoneInfo:
        """The time zone's rules."""
        return ZoneInfo(self.time_zone)


class Config(_Table, frozen=True):
    """A whole terminal.

    Attributes:
        profile: name of a shipped profile.
        terminal: this terminal's id, as the backend knows it.
        merchant: the merchant this terminal stands at; intents for others are refused.
        state_dir: what must survive reboot: gallery, outbox. Relative paths are relative to the file.
        run_dir: sockets.
        models_dir: the built networks.
        site_calibration: score calibration measured at this site (`tessera evaluate calibration`); replaces the
            shipped one.
    """

    profile: Literal["demo", "payment", "payment_high", "rig"]
    terminal: Name
    merchant: Name
    state_dir: str
    run_dir: str
    models_dir: str
    camera: CameraConfig
    secure_element: SecureElementConfig
    link: LinkConfig
    backend: BackendConfig
    emitter: EmitterConfig | None = None
    site_calibration: str | None = None
    npu: NpuConfig = NpuConfig()
    privacy: PrivacyConfig | None = None


_T = TypeVar("_T", bound=_Table)


def _decode(raw: bytes, kind: type[_T], where: str) -> _T:
    if len(raw) > MAX_CONFIG_BYTES:
        raise ConfigError(f"{where}: larger than {MAX_CONFIG_BYTES} bytes")
    try:
        return msgspec.toml.decode(raw, type=kind, strict=True)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{where}: {_explain(str(error), kind)}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{where}: not TOML: {error}") from error


def _explain(message: str, kind: type[msgspec.Struct]) -> str:
    """Add the nearest known key to msgspec's "unknown field" message."""
    if "unknown field" not in message:
        return message
    wrong = message.split("`")[1]
    known = [name for table in (kind, *_Table.__subclasses__()) for name in table.__struct_fields__]
    near = difflib.get_close_matches(wrong, known, n=1)
    return message + (f"; did you mean `{near[0]}`?" if near else "")


def _profile_bytes(name: str) -> bytes:
    return (files("firmware.runtime") / "profiles" / f"{name}.toml").read_bytes()


def load_profile(name: str) -> Profile:
    """Read a shipped profile. Raises ConfigError."""
    if name not in PROFILES:
        raise ConfigError(f"no profile {name!r}; shipped: {', '.join(PROFILES)}")
    return _decode(_profile_bytes(name), Profile, f"profiles/{name}.toml")


def load_config(path: Path) -> tuple[Config, Profile]:
    """Read a terminal's configuration and its profile; relative paths become absolute.

    Raises:
        ConfigError: naming file, key and reason.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}; give --config FILE") from error
    config = _absolute(_decode(raw, Config, str(path)), path.resolve().parent)
    profile = load_profile(config.profile)
    _refuse_impossible(config, profile, str(path))
    return config, profile


def _absolute(config: Config, base: Path) -> Config:
    tls = config.link.tls
    if tls is not None:
        tls = TlsConfig(
            ca=str(base / tls.ca),
            crl=str(base / tls.crl),
            certificate=str(base / tls.certificate),
            key=str(base / tls.key),
        )
    emitter = config.emitter
    if emitter is not None:
        emitter = msgspec.structs.replace(emitter, limits=str(base / emitter.limits), key=str(base / emitter.key))
    privacy = config.privacy
    if privacy is not None:
        privacy = msgspec.structs.replace(privacy, notice=str(base / privacy.notice))
    return msgspec.structs.replace(
        config,
        emitter=emitter,
        privacy=privacy,
        state_dir=str(base / config.state_dir),
        run_dir=str(base / config.run_dir),
        models_dir=str(base / config.models_dir),
        site_calibration=None if config.site_calibration is None else str(base / config.site_calibration),
        link=msgspec.structs.replace(config.link, tls=tls),
        backend=BackendConfig(root=str(base / config.backend.root), keys=str(base / config.backend.keys)),
    )


def is_played(source: str, options: Mapping[str, object]) -> bool:
    """Whether what a camera shows is rendered or played back: nobody stands before it now."""
    return source in ("virtual", "virtual-exposures", "recording") or "file" in options or "folder" in options


def _refuse_impossible(config: Config, profile: Profile, where: str) -> None:
    if config.privacy is not None:
        _refuse_no_zone(config.privacy, where)
    if config.link.tls is None and not (profile.allow_hil and config.link.host == "127.0.0.1"):
        raise ConfigError(
            f"{where}: link.tls: missing; a broker without TLS is for 127.0.0.1 in profiles demo and rig only"
        )
    if config.site_calibration is not None and profile.population != "real":
        raise ConfigError(f"{where}: site_calibration: holds for real people, not for those of profile {profile.name}")
    if config.secure_element.backend == "software" and not profile.software_key:
        raise ConfigError(
            f"{where}: secure_element.backend: `software` keeps the key in a file; {profile.name} needs hardware"
        )
    board = config.camera.source == "realsense" and config.camera.options.get("flood_board") is True
    if config.camera.source == "realsense" and not board and not profile.allow_hil:
        raise ConfigError(
            f"{where}: camera.options.flood_board: missing; a RealSense has no flood light of its own and "
            f"{profile.name} needs one"
        )
    if board and config.emitter is None:
        raise ConfigError(f"{where}: emitter: missing; camera.options.flood_board says our board is there")
    pattern = _PATTERNS.get(config.camera.source)
    if config.emitter is not None and pattern not in (None, config.emitter.pattern):
        raise ConfigError(f"{where}: emitter.pattern: source `{config.camera.source}` needs `{pattern}`")
    if is_played(config.camera.source, config.camera.options) and not profile.allow_hil:
        raise ConfigError(f"{where}: camera: what is rendered or played back is for profiles demo and rig only")


def _refuse_no_zone(privacy: PrivacyConfig, where: str) -> None:
    try:
        _ = privacy.zone
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:  # a folder's name, such as Europe, is an OSError
        raise ConfigError(
            f"{where}: privacy.time_zone: `{privacy.time_zone}` is not known here; write e.g. Asia/Shanghai, and see "
            "that the system's tzdata is installed"
        ) from error
