"""The files of a running backend, looked at again and again: it begins anew with what was replaced.

Rules kept here:
- What cannot be used changes nothing: it is said once, and the backend goes on as it was until it can be.
- Whatever it would begin with is tried first, all of it, the database too where another one is named.
"""

import logging
from pathlib import Path

import msgspec

from firmware.link.tls import LinkError
from firmware.payment.errors import PaymentError
from hil.backend.beginning import broker_of, prepare
from hil.backend.installation import database_of, files, load_service_config
from hil.backend.store import Store

log = logging.getLogger(__name__)


class Watched:
    """The files of a running backend: whether one was replaced by one that can be used.

    Make it before they are read: what is replaced in between is then found.

    Args:
        path: the configuration.
        number: of this process.
        database: in place of the configuration's, where one is given.

    Raises:
        PaymentError: the configuration cannot be used.
    """

    def __init__(self, path: Path, number: int, database: str | None) -> None:
        self._path, self._number, self._given = path, number, database
        config = load_service_config(path)
        broker = broker_of(config, path.resolve().parent, number)
        tls: dict[str, str] = msgspec.to_builtins(broker.tls) if broker.tls is not None else {}
        self._files = (*files(path, config), *map(Path, tls.values()))
        self._used = database or database_of(path, config)
        self._begun = self._refused = self._look()

    def changed(self) -> bool:
        """Look again."""
        seen = self._look()
        if seen == self._begun:
            return False
        try:
            self._try()
        except (PaymentError, LinkError) as error:
            if seen != self._refused:
                log.error("a file was changed and cannot be used, going on as before: %s", error)
            self._refused = seen
            return False
        return True

    def _try(self) -> None:
        wanted = prepare(self._path, self._number, self._given).database
        if wanted != self._used:
            Store(wanted).close()

    def _look(self) -> list[tuple[int, int] | None]:
        return [_mark(path) for path in self._files]


def _mark(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns
