"""What `tessera doctor` says of the backend: whose keys are believed, and whether the broker answers."""

import datetime
import socket
import time
from dataclasses import dataclass
from pathlib import Path

from firmware.core.errors import TerminalError
from firmware.core.parts import KEY_SET
from firmware.link.tls import LinkError, client_context
from firmware.payment.clock import TrustedClock
from firmware.payment.errors import PaymentError
from firmware.payment.keyset import BackendKeys
from firmware.payment.trust import load_trust
from firmware.runtime.config import Config, Profile

BROKER_TIMEOUT_S = 3.0


def keys_in_hand(config: Config, profile: Profile) -> str:
    """What set of the backend's keys is in hand, in plain words; when it ends, by this machine's clock.

    Raises:
        PaymentError: it cannot be read, or has ended.
    """
    backend, now = config.backend, int(time.time())
    root, kept = load_trust(Path(backend.root)), Path(config.state_dir) / KEY_SET
    keys = BackendKeys(root, profile.environment, Path(backend.keys), kept, TrustedClock(_Floor(now)))
    end = f"{datetime.datetime.fromtimestamp(keys.expires_at, datetime.timezone.utc):%Y-%m-%d}"
    if now >= keys.expires_at:
        raise PaymentError("key_set", f"version {keys.version} ended on {end}; a newer one comes over the broker")
    return f"version {keys.version} for {profile.environment}, signed by the pinned root, until {end}"


@dataclass(frozen=True)
class _Floor:
    time_floor: int


def broker_answer(config: Config) -> str:
    """Whether the broker answers, and how it is secured. Raises TerminalError."""
    address = (config.link.host, config.link.port)
    where = f"{config.link.host}:{config.link.port}"
    try:
        with socket.create_connection(address, BROKER_TIMEOUT_S) as plain:
            if config.link.tls is None:
                return f"{where} answers, without TLS: demonstration only"
            context = client_context(config.link.tls, time.time)
            with context.wrap_socket(plain, server_hostname=config.link.host) as secured:
                return f"{where} answers over {secured.version()}"
    except (LinkError, OSError) as error:
        raise TerminalError(
            f"{where}: {error}; is the broker running, and is this terminal's certificate valid?"
        ) from error
