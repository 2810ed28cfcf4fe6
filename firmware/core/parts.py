"""Opening everything `core` owns, in one place, with one clear error each.

`core` owns the secure element, the gallery, the outbox, the networks and the pinned backend keys. It never opens
a network socket or the camera.
"""

import hashlib
import logging
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path

import msgspec

from drivers import plugins
from drivers.secure_element.interface import Capability, SecureElement
from firmware.audit.log import Audit
from firmware.core.analysis import Analyst
from firmware.core.attempts import Attempts
from firmware.core.errors import TerminalError
from firmware.core.identities import Identities
from firmware.core.journal import Journal
from firmware.core.roles import Roles
from firmware.gallery.consent import ConsentError, Notice
from firmware.gallery.gallery import Gallery
from firmware.gallery.notice import load_notice
from firmware.liveness.look import Basis, load_basis
from firmware.payment.beacon import Beacons
from firmware.payment.clock import TrustedClock, boottime
from firmware.payment.keyset import BackendKeys
from firmware.payment.messages import Allowance
from firmware.payment.outbox import Outbox
from firmware.payment.trust import load_trust
from firmware.runtime.config import Config, NpuConfig, Profile
from firmware.vision.calibration import load_calibration
from firmware.vision.detect import Detector
from firmware.vision.embed import DepthEmbedder, Embedder, FaceEmbedder
from firmware.vision.fusion import Judge
from firmware.vision.networks import DEPTH_EMBEDDER, DETECTOR, EMBEDDER, load_network, template_networks
from firmware.vision.policy import load_policy

AUDIT = "audit"
"""Folder of the audit log, in the state folder."""
KEY_SET = "key-set.cose"
"""The newest set of the backend's keys, in the state folder."""

_log = logging.getLogger("tessera.core")


@dataclass(frozen=True, slots=True)
class Parts:
    """What a terminal is made of. Digests are SHA-256 and go into every authorization.

    `identities`: every public key the terminal had (`core.identities`). `notice`: what people are told; None where it
    is missing, and then nobody is enrolled or matched.
    """

    config: Config
    profile: Profile
    element: SecureElement
    identities: Identities
    audit: Audit
    notice: Notice | None
    gallery: Gallery
    outbox: Outbox
    attempts: Attempts
    roles: Roles
    clock: TrustedClock
    trust: BackendKeys
    beacons: Beacons
    analyst: Analyst
    judge: Judge
    thresholds_digest: bytes
    models_digest: bytes
    firmware_version: str

    @property
    def basis(self) -> Basis:
        """What evidence of life rests on."""
        return self.analyst.basis

    @property
    def audit_folder(self) -> Path:
        """Where the audit log lies."""
        return Path(self.config.state_dir) / AUDIT

    @property
    def journal(self) -> Journal:
        """What is written to the audit log."""
        return Journal(self.audit)

    @property
    def configuration_digest(self) -> bytes:
        """SHA-256 of everything that is set: configuration, profile, notice."""
        notice = b"" if self.notice is None else self.notice.sha256
        return hashlib.sha256(msgspec.json.encode(self.config) + self.profile.digest + notice).digest()

    def now_or_floor(self) -> int:
        """The time, or the latest the backend signed: for what does not wait until the clock is set."""
        return self.clock.at_least()

    def allowance(self) -> Allowance | None:
        """What may be authorized now while the link is down; None where nothing may.

        Raises:
            PaymentError: `clock`, there is no time.
        """
        return self.beacons.allowance(self.clock.now())

    def close(self) -> None:
        """Zero templates, close files, let go of the secure element."""
        self.audit.close()
        self.gallery.close()
        self.outbox.close()
        self.attempts.close()
        self.roles.close()
        self.element.close()


def open_analyst(
    profile: Profile, models_dir: Path, site: Path | None = None, npu: NpuConfig | None = None
) -> tuple[Analyst, Judge, bytes]:
    """The networks and limits of a profile, what its scores mean, and the SHA-256 over all thresholds.

    `site` is a score calibration measured at this terminal's site, which replaces the shipped one; `npu` is what the
    networks run on, the CPU where it is not given.

    Raises:
        CalibrationError, NetworkError, PluginError: each says what and what to do.
    """
    where = NpuConfig() if npu is None else npu
    load = partial(load_network, models_dir=models_dir, runtime=where.runtime, options=where.options)
    basis = load_basis(profile.liveness, load)
    policy, policy_digest = load_policy(profile.policy)
    judge = Judge(load_calibration(profile.population, site), policy, policy.claimed)
    embedder = FaceEmbedder(Embedder(load(EMBEDDER)), DepthEmbedder(load(DEPTH_EMBEDDER)))
    analyst = Analyst(Detector(load(DETECTOR)), embedder, basis, judge)
    return analyst, judge, hashlib.sha256(basis.digest + judge.calibration.digest + policy_digest).digest()


def open_parts(config: Config, profile: Profile, elapsed: Callable[[], float] = boottime) -> Parts:
    """Open everything, in order of what fails most often; `elapsed` is what time is carried on by.

    Raises:
        AttemptsError, CalibrationError, GalleryError, NetworkError, PaymentError, PluginError, SecureElementError,
            TerminalError: each says what and what to do.
    """
    site = Path(config.site_calibration) if config.site_calibration is not None else None
    analyst, judge, thresholds_digest = open_analyst(profile, Path(config.models_dir), site, config.npu)
    root = load_trust(Path(config.backend.root))
    element: SecureElement = plugins.load(plugins.SECURE_ELEMENTS, config.secure_element.backend)(
        config.secure_element.options
    )
    with ExitStack() as opened:
        opened.callback(element.close)
        if not profile.software_key and Capability.HARDWARE_KEY not in element.capabilities:
            raise TerminalError(
                f"secure_element.backend: `{config.secure_element.backend}` keeps no key in hardware; "
                f"profile {profile.name} needs one"
            )
        state = Path(config.state_dir)
        try:
            state.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise TerminalError(f"{state}: cannot be used as state_dir: {error.strerror}") from error
        counts = Capability.MONOTONIC_COUNTER in element.capabilities
        outbox = Outbox(state / "outbox.db", element if counts else None)
        opened.callback(outbox.close)
        identities = Identities(state / "identities.json", element.public_key)
        clock = TrustedClock(outbox, elapsed)
        first, kept = Path(config.backend.keys), state / KEY_SET
        trust = BackendKeys(root, profile.environment, first, kept, clock)
        audit = Audit(state / AUDIT, element, config.terminal, clock.at_least)
        opened.callback(audit.close)
        parts = Parts(
            config=config,
            profile=profile,
            element=element,
            identities=identities,
            audit=audit,
            notice=_notice(config),
            gallery=Gallery(state / "gallery.db", element, template_networks()),
            outbox=outbox,
            attempts=Attempts(state / "attempts.db"),
            roles=Roles(state / "roles.db"),
            clock=clock,
            trust=trust,
            beacons=Beacons(config.terminal, trust, elapsed),
            analyst=analyst,
            judge=judge,
            thresholds_digest=thresholds_digest,
            models_digest=hashlib.sha256((files("models") / "manifest.toml").read_bytes()).digest(),
            firmware_version=version("tessera"),
        )
        opened.pop_all()
    return parts


def _notice(config: Config) -> Notice | None:
    try:
        return load_notice(config.privacy)
    except ConsentError as error:
        _log.error("nobody can be enrolled or matched: %s", error)
        return None
