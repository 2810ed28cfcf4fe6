"""From one connection of `core` to its end: what it hands over goes to the broker, and what comes from there to it.

Rules kept here:
- Nothing is tried before `core` has said what the broker is to tell when it loses us: its last will.
- When any file of TLS changes, a new connection is made with it: a renewed certificate, a newer list of revoked ones.
- A certificate that is due is asked for at once, at each connection, and again every `ASK_AGAIN_S`.
- The time for TLS is the later of the system's clock and what `core` says has surely passed. Where that shows the clock
  to have been behind, the connection that was made by it is made and judged anew.
"""

import contextlib
import logging
import time
from pathlib import Path

from firmware.link.broker import Broker
from firmware.link.identity import Identity
from firmware.link.tls import LinkError
from firmware.runtime import ipc
from firmware.runtime.config import Config
from firmware.runtime.messages import (
    MAX_TEXT,
    Certificate,
    Delivered,
    Inbound,
    LastWill,
    LinkState,
    Publish,
    TimeFloor,
    ToLink,
    WantCertificate,
)

# after a file of TLS could not be used
TLS_RETRY_S = 2.0
ASK_AGAIN_S = 600.0
# how far a clock may be behind; a beacon on its way is some seconds old
BEHIND_S = 60.0
_SLICE_S = 0.25

_log = logging.getLogger("tessera.link")


class Carrier:
    """Carries for one connection of `core`. Use as a context manager and call `step` for ever.

    Args:
        config: of the terminal.
        core: the connection.
    """

    def __init__(self, config: Config, core: ipc.Connection[ToLink]) -> None:
        self._config, self._core = config, core
        tls = config.link.tls
        self._files = () if tls is None else tuple(map(Path, (tls.ca, tls.crl, tls.certificate, tls.key)))
        self._identity = None if tls is None else Identity(tls, config.terminal)
        self._will: bytes | None = None
        self._floor, self._behind_s = 0, 0.0
        self._broker: Broker | None = None
        self._leaving = contextlib.ExitStack()
        self._made_of: tuple[tuple[int, int] | None, ...] | None = None
        self._try_at = self._ask_at = 0.0
        self._problem = ""

    def __enter__(self) -> "Carrier":
        return self

    def __exit__(self, *_: object) -> None:
        self._leaving.close()

    def step(self) -> None:
        """Take what `core` says, and see to connection and certificate. Returns after `_SLICE_S` at the latest.

        Raises:
            IpcError: `core` has gone.
        """
        message = self._core.receive(_SLICE_S)
        if message is not None:
            self._take(message)
        if self._will is not None:
            self._keep_connected(self._will)
            self._keep_certified()

    def _take(self, message: ToLink) -> None:
        if isinstance(message, Publish):
            # without a connection it stays in core's outbox
            if self._broker is not None:
                self._broker.publish(message.kind, message.envelope)
        elif isinstance(message, LastWill):
            self._will = message.envelope
        elif isinstance(message, TimeFloor):
            self._raise(message.at)
        elif isinstance(message, Certificate):
            self._install(message.certificate)

    def _raise(self, floor: int) -> None:
        self._floor, self._ask_at = max(self._floor, floor), 0.0
        behind_s = floor - time.time()
        if behind_s > self._behind_s + BEHIND_S:
            self._behind_s, self._made_of = behind_s, None

    def _keep_connected(self, will: bytes) -> None:
        files = tuple(map(_stamp, self._files))
        if (self._broker is not None and files == self._made_of) or time.monotonic() < self._try_at:
            return
        if files != self._made_of:
            self._ask_at = 0.0
        self._leaving.close()
        self._broker, self._made_of = None, files
        try:
            if self._identity is not None:
                self._identity.check(self._now())
            broker = Broker(self._config.link, self._config.terminal, will, self._now, self._delivered, self._state)
        except LinkError as error:
            self._try_at = time.monotonic() + TLS_RETRY_S
            self._fail(str(error))
        else:
            self._problem = ""
            self._broker = self._leaving.enter_context(broker)

    def _keep_certified(self) -> None:
        if self._identity is None or time.monotonic() < self._ask_at:
            return
        self._ask_at = time.monotonic() + ASK_AGAIN_S
        if self._identity.due(self._now()):
            try:
                self._core.send(WantCertificate(request=self._identity.request()))
            except LinkError as error:
                _log.error("%s", error)

    def _install(self, certificate: bytes) -> None:
        if self._identity is None:
            return
        try:
            self._identity.install(certificate, self._now())
        except LinkError as error:
            _log.error("%s", error)
        else:
            _log.info("a new certificate, until %d", self._identity.until)
            self._try_at = 0.0

    def _now(self) -> float:
        return max(self._floor, time.time())

    def _delivered(self, kind: Inbound, envelope: bytes) -> None:
        self._core.send(Delivered(kind=kind, envelope=envelope))

    def _state(self, connected: bool, detail: str) -> None:
        until = 0 if self._identity is None else self._identity.until
        self._core.send(LinkState(connected=connected, detail=detail[:MAX_TEXT], tls_until=until))
        if connected:
            self._ask_at = 0.0

    def _fail(self, problem: str) -> None:
        if problem != self._problem:
            self._problem = problem
            _log.error("%s", problem)
            self._state(False, problem)


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns
