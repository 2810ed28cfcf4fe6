"""What a backend begins with: its configuration and its keys, read and checked together.

Rules kept here:
- The configuration is decoded strictly; without TLS only a broker on 127.0.0.1 is used.
- A backend signs with a key that is in its key set, by its root, not ended, for its environment; with another one it
  does not begin, for no terminal would believe a word.
- Production takes nothing of a demonstration: not the root, not its key sets, not its certificate authority, not its
  policy, not its terminals; nor does a demonstration take what is production's.
"""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec
from msgspec import Meta

from firmware.payment import schema
from firmware.payment.errors import PaymentError
from firmware.payment.keyset import DEMO_MARK
from firmware.payment.messages import Environment, KeySet
from firmware.payment.trust import load_trust
from firmware.runtime.config import LinkConfig
from firmware.runtime.messages import MAX_ENVELOPE_BYTES
from hil.backend.certifier import Certifier, is_demo_authority
from hil.backend.keys import load_backend_key, load_registrations, spki
from hil.backend.policy import DEMO, DEMO_PROFILES, Policy, Registration
from hil.backend.terminals import Terminals


class CertifierConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Who certifies the TLS keys of links: PEM files, and for how long, in seconds."""

    ca: str
    key: str
    life_s: Annotated[int, Meta(ge=600, le=90 * 86_400)] = 86_400


class ServiceConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The file; paths are relative to it.

    Attributes:
        store: the database: a SQLite file, or a URL of SQLite or PostgreSQL.
        key: the backend's signing key, PEM.
        terminals: the registrations, JSON (`keys.save_registrations`).
        token: a file with the register's bearer token.
        port: of the register on 127.0.0.1.
        broker: as a terminal's `link`. `{worker}` in the paths of certificate and key is empty for the first process
            and `-1`, `-2` ... for further workers: a broker that takes client ids from certificates wants one each.
        policy: what is taken; the demonstration policy where none is given.
        environment: `production` refuses whatever is of a demonstration.
        root: the public key terminals pin, JSON (`keys.create_root`).
        key_set: the signed set of keys in force; terminals are given it.
        certifier: where it is absent no link is given a certificate.
    """

    store: str
    key: str
    terminals: str
    token: str
    port: Annotated[int, Meta(ge=1, le=65535)]
    broker: LinkConfig
    policy: Policy = DEMO
    environment: Environment = "demo"
    root: str = "root.json"
    key_set: str = "key-set.cose"
    certifier: CertifierConfig | None = None


@dataclass(frozen=True)
class Installation:
    """What was read. `key_set` is the envelope, as terminals are given it, of this version.

    Whoever judges and whoever answers share its `terminals`: what is taken away there counts for neither.
    """

    key: ec.EllipticCurvePrivateKey
    key_set: bytes
    terminals: Terminals
    policy: Policy = DEMO
    certifier: Certifier | None = None
    version: int = 0


def load_service_config(path: Path) -> ServiceConfig:
    """Read the file. Raises PaymentError `trust` that names file and reason."""
    try:
        config = msgspec.toml.decode(path.read_bytes(), type=ServiceConfig, strict=True)
    except (OSError, UnicodeDecodeError, msgspec.DecodeError) as error:
        raise PaymentError("trust", f"{path}: {error}") from error
    if config.broker.tls is None and config.broker.host != "127.0.0.1":
        raise PaymentError("trust", f"{path}: broker.tls: missing; a broker without TLS is for 127.0.0.1 only")
    return config


def files(path: Path, config: ServiceConfig) -> tuple[Path, ...]:
    """The files by which a running backend is changed; it begins anew when one of them is replaced."""
    return path, *(path.parent / name for name in (config.key, config.key_set, config.root, config.terminals))


def database_of(path: Path, config: ServiceConfig, given: str | None) -> str:
    """The database that is `given`, or where none is, the one `config`, the file at `path`, names.

    Returns:
        A URL, or a SQLite file.

    Raises:
        PaymentError: `trust`, an empty one is given: a secret that was left out must not begin a second ledger.
    """
    if given is not None:
        if not given.strip():
            raise PaymentError("trust", "the database is given as an empty text; leave it out for the file's `store`")
        return given
    return config.store if "://" in config.store else str(path.resolve().parent / config.store)


def load_installation(path: Path, config: ServiceConfig) -> Installation:
    """Read what `config`, the file at `path`, names.

    Raises:
        PaymentError: a file cannot be used, or is of another environment; it says which and why.
    """
    base = path.resolve().parent
    if not (base / config.key).exists():
        raise PaymentError(
            "trust", f"{base / config.key}: is not there; `tessera backend keys renew --version 1` makes it"
        )
    key, terminals = load_backend_key(base / config.key), Terminals(load_registrations(base / config.terminals))
    key_set, made = read_key_set(base / config.key_set, base / config.root, config.environment)
    if made.expires_at <= time.time():
        raise PaymentError("key_set", f"{base / config.key_set}: has ended; see `tessera backend keys renew`")
    if spki(key.public_key()) not in made.keys:
        raise PaymentError("key_set", f"{base / config.key}: not in the key set; no terminal would believe it")
    certifier = None
    if config.certifier is not None:
        certifier = Certifier(base / config.certifier.ca, base / config.certifier.key, config.certifier.life_s)
    if config.environment == "production":
        _refuse_demonstration(config, base, terminals.registrations)
    return Installation(key, key_set, terminals, config.policy, certifier, made.version)


def read_key_set(path: Path, root: Path, environment: Environment) -> tuple[bytes, KeySet]:
    """Return (envelope, set) of the key set at `path`, signed by the pinned `root`, for `environment`.

    Raises:
        PaymentError: `trust`, or `key_set`, naming the file.
    """
    trust = load_trust(root)
    try:
        with path.open("rb") as file:
            envelope = file.read(MAX_ENVELOPE_BYTES + 1)
    except OSError as error:
        raise PaymentError("key_set", f"{path}: {error.strerror}; see `tessera backend keys renew`") from error
    try:
        kid, made = schema.verify(envelope, KeySet, trust.resolve)
    except PaymentError as error:
        raise PaymentError("key_set", f"{path}: not a set by the root in {root}: {error}") from error
    demo = kid[0] == DEMO_MARK
    if made.environment != environment or demo != (environment == "demo"):
        whose = (
            f"keys for {made.environment} by the root of a demonstration" if demo else f"keys for {made.environment}"
        )
        raise PaymentError("key_set", f"{path}: {whose}; this backend is for {environment}")
    return envelope, made


def _refuse_demonstration(config: ServiceConfig, base: Path, registrations: list[Registration]) -> None:
    """Raise PaymentError `trust` where anything is of a demonstration, but for the key set, which was looked at."""
    if config.policy.name == DEMO.name:
        raise PaymentError("trust", "policy demo: takes simulated evidence; production needs a policy of its own")
    if config.broker.tls is None:
        raise PaymentError("trust", "broker.tls: missing; production has no broker without TLS")
    authorities = [config.broker.tls.ca, *([config.certifier.ca] if config.certifier else [])]
    for given in authorities:
        if is_demo_authority(base / given):
            raise PaymentError("trust", f"{base / given}: a demonstration's certificate authority")
    for known in registrations:
        if known.profile in DEMO_PROFILES:
            raise PaymentError("trust", f"terminal {known.terminal}: registered for profile {known.profile}")
