"""All that a process of the backend begins with, read and checked together: to begin, or to see whether it could.

Rules kept here:
- What passes here is what it begins with: a running backend tries nothing less before it ends for the sake of a new
  file, and then reads nothing again. Left out is what other programs decide, who listens at the broker's address and
  who holds the register's port.
- How the files were is noted before they are read: what is replaced in between is found by the next look.
"""

import ssl
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from firmware.link.tls import client_context
from firmware.runtime.config import LinkConfig
from hil.backend.disk import read_token
from hil.backend.installation import (
    Installation,
    ServiceConfig,
    database_of,
    files,
    load_installation,
    load_service_config,
)
from hil.backend.mqtt import suffix

# by file, its inode and when it was written, in ns; None where there is none
Seen = dict[Path, tuple[int, int] | None]


@dataclass(frozen=True)
class Beginning:
    """What was read.

    Attributes:
        broker: paths in it absolute.
        tls: made of them, where there are any.
        database: a URL, or a SQLite file.
        seen: the files by which a running backend is changed, as they were before.
    """

    config: ServiceConfig
    installation: Installation
    broker: LinkConfig
    tls: ssl.SSLContext | None
    token: str
    database: str
    seen: Seen


def prepare(path: Path, number: int, database: str | None) -> Beginning:
    """Read what the file at `path` names, for process `number`; `database` instead of its `store`.

    Raises:
        PaymentError: the configuration, a key, a registration or the token cannot be used.
        LinkError: a file of TLS cannot be used.
    """
    itself = look((path,))
    config, base = load_service_config(path), path.resolve().parent
    used, broker = database_of(path, config, database), _broker_of(config, base, number)
    of_tls: dict[str, str] = msgspec.to_builtins(broker.tls) if broker.tls is not None else {}
    seen = look((*files(path, config), *map(Path, of_tls.values()))) | itself
    return Beginning(
        config,
        load_installation(path, config),
        broker,
        client_context(broker.tls, time.time, "broker.tls") if broker.tls is not None else None,
        read_token(base / config.token),
        used,
        seen,
    )


def look(at: Iterable[Path]) -> Seen:
    """See how files are now."""
    return {path: _mark(path) for path in at}


def _mark(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns


def _broker_of(config: ServiceConfig, base: Path, number: int) -> LinkConfig:
    """The broker as process `number` connects to it; paths are relative to `base`."""
    broker = config.broker
    if broker.tls is None:
        return broker
    given: dict[str, str] = msgspec.to_builtins(broker.tls)
    paths = {name: str(base / file.replace("{worker}", suffix(number))) for name, file in given.items()}
    return msgspec.structs.replace(broker, tls=msgspec.convert(paths, type(broker.tls)))
