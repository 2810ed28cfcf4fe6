"""The files of a running backend, looked at again and again: it begins anew with what was replaced.

Rules kept here:
- What cannot be used changes nothing: it is said once, and the backend goes on as it was until it can be.
- One thing does not wait for that: a key that the list of terminals has no longer, or has as revoked, counts no longer.
- Whatever it would begin with is tried first, all of it, the database too. What passed is what it begins with, whatever
  becomes of the files in between.
"""

import logging
from pathlib import Path

from firmware.link.tls import LinkError
from firmware.payment.errors import PaymentError
from hil.backend.beginning import Beginning, Seen, look, prepare
from hil.backend.keys import load_registrations
from hil.backend.store import Store
from hil.backend.terminals import Terminals

log = logging.getLogger(__name__)


class Watched:
    """What a backend begins with, and whether it was replaced by something that can be used.

    Args:
        path: the configuration.
        number: of this process.
        database: in place of the configuration's, where one is given.

    Raises:
        PaymentError: the configuration, a key, a registration or the token cannot be used.
        LinkError: a file of TLS cannot be used.
    """

    def __init__(self, path: Path, number: int, database: str | None) -> None:
        self._path, self._number, self._given = path, number, database
        self._begun = self._next = prepare(path, number, database)
        self._refused: Seen = {}

    def begin(self) -> Beginning:
        """Return what to begin with: the newest that could be used."""
        self._begun = self._next
        return self._begun

    def changed(self) -> bool:
        """Look again. Whether there is something newer to begin with."""
        seen = look(self._next.seen)
        if seen != self._next.seen:
            try:
                self._next = self._tried()
            except (PaymentError, LinkError) as error:
                if seen != self._refused:
                    log.error("a file was changed and cannot be used, going on as before: %s", error)
                self._refused = seen
                self._take_away()
        return self._next is not self._begun

    def _tried(self) -> Beginning:
        found = prepare(self._path, self._number, self._given)
        Store(found.database).close()
        return found

    def _take_away(self) -> None:
        """Let no key count that does not count in the list of terminals as it is now, where that can be read."""
        try:
            listed = Terminals(load_registrations(self._path.resolve().parent / self._begun.config.terminals))
        except PaymentError:
            return
        for used in (self._begun, self._next):
            for terminal in used.installation.terminals.take_away(listed):
                log.warning("%s: its key counts no longer", terminal)
