"""The files of a running backend, looked at again and again: it begins anew with what was replaced.

Rules kept here:
- What cannot be used changes nothing: it is said once, and the backend goes on as it was.
"""

import logging
import time
from pathlib import Path

import msgspec

from firmware.link.tls import LinkError, client_context
from firmware.payment.errors import PaymentError
from firmware.runtime.config import LinkConfig
from hil.backend.installation import ServiceConfig, files, load_installation, load_service_config

log = logging.getLogger(__name__)


class Watched:
    """The files of a running backend: whether one was replaced since the last look by one that can be used."""

    def __init__(self, path: Path, config: ServiceConfig, broker: LinkConfig) -> None:
        self._path, self._tls = path, broker.tls
        tls: dict[str, str] = msgspec.to_builtins(broker.tls) if broker.tls is not None else {}
        self._files = (*files(path, config), *map(Path, tls.values()))
        self._seen = self._look()

    def changed(self) -> bool:
        """Look again."""
        seen = self._look()
        if seen == self._seen:
            return False
        self._seen = seen
        try:
            load_installation(self._path, load_service_config(self._path))
            if self._tls is not None:
                client_context(self._tls, time.time)
        except (PaymentError, LinkError) as error:
            log.error("a file was changed and cannot be used, going on as before: %s", error)
            return False
        return True

    def _look(self) -> list[tuple[int, int] | None]:
        return [_mark(path) for path in self._files]


def _mark(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns
