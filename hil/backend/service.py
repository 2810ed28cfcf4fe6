"""The backend as a process: one TOML file, one broker, one database; the register on 127.0.0.1, a worker, or both.

Rules kept here:
- SIGTERM and SIGINT end it cleanly; `kill -9` at any instant loses nothing (see `store` and `mqtt`).
- Where one of its files is replaced by one it can use, it begins anew with it: a key that was revoked counts no
  longer within seconds. What it cannot use it says, and goes on as it was, less the keys that count no longer.
"""

import argparse
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import msgspec
import uvicorn
from fastapi import FastAPI

from firmware.link.tls import LinkError
from firmware.payment.errors import PaymentError
from firmware.runtime.hardening import harden
from firmware.runtime.stop import StopFlag, stopped_by
from hil.backend.backend import Backend
from hil.backend.beginning import Beginning
from hil.backend.fleet import Fleet
from hil.backend.fleet_routes import add_fleet
from hil.backend.mqtt import BackendLink
from hil.backend.register import create_app
from hil.backend.store import Store
from hil.backend.watched import Watched

log = logging.getLogger(__name__)

LOOK_S = 1.0
# for calls that are waiting for a change when the register ends
GRACE_S = 3
# the database's URL, where a supervisor hands it on: a password does not belong on a command line
DATABASE_VARIABLE = "TESSERA_BACKEND_DATABASE"


class Part(msgspec.Struct, frozen=True):
    """What one process does: keep the register, judge as a worker, or both; `number` tells processes apart."""

    register: bool = True
    judges: bool = True
    number: int = 0


ALONE = Part()


def wall_clock() -> int:
    """Whole seconds since 1970."""
    return int(time.time())


def serve(path: Path, part: Part = ALONE, database: str | None = None, now: Callable[[], int] = wall_clock) -> None:
    """Run until SIGTERM or SIGINT; `database` instead of the file's `store`, `now`: whole seconds since 1970.

    Raises:
        PaymentError: the configuration, a key or the database cannot be used.
        LinkError: a file of TLS cannot be used.
    """
    with stopped_by(signal.SIGTERM, signal.SIGINT) as stop:
        watched = Watched(path, part.number, database)
        _serve_once(watched, part, now, stop)
        while not stop:
            log.info("a file was changed: beginning anew")
            _serve_once(watched, part, now, stop)


def _serve_once(watched: Watched, part: Part, now: Callable[[], int], stop: StopFlag) -> None:
    """Run until `stop`, or until one of its files is replaced."""
    begun = watched.begin()
    with listening(begun.config.port) if part.register else nullcontext() as door:
        _serve_at(door, begun, watched, part, now, stop)


def listening(port: int) -> socket.socket:
    """The register's port, before the broker hears of us: one who cannot have it is a second backend. Close it."""
    try:
        return socket.create_server(("127.0.0.1", port))
    except OSError as error:
        raise PaymentError(
            "trust", f"port {port}: {os.strerror(error.errno or 0)}; does a backend run already?"
        ) from error


def _serve_at(
    door: socket.socket | None, begun: Beginning, watched: Watched, part: Part, now: Callable[[], int], stop: StopFlag
) -> None:
    installation, store = begun.installation, Store(begun.database)
    try:
        backend = Backend(store, installation.key, installation.terminals, installation.policy, now)
        fleet = Fleet(store, installation, now)
        link = BackendLink(backend, fleet, begun.broker, begun.tls, part.number, judges=part.judges)
        link.start()
        try:
            if door is not None:
                app = create_app(backend, link, begun.token)
                add_fleet(app, fleet)
                _keep_register(app, door, link, stop, watched.changed)
            else:
                _judge(link, stop, watched.changed)
        finally:
            link.stop()
    finally:
        store.close()


def _keep_register(
    app: FastAPI, door: socket.socket, link: BackendLink, stop: StopFlag, changed: Callable[[], bool]
) -> None:
    """Serve the register until `stop` or `changed`. Raises PaymentError where the link has ended by itself."""
    config = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=GRACE_S)
    server, over = uvicorn.Server(config), threading.Event()

    def look() -> None:
        while not over.wait(LOOK_S):
            # a signal that came before uvicorn had handlers of its own; it raises those it caught again at its end
            if stop or changed() or link.wait(0):
                server.should_exit = True

    looking = threading.Thread(target=look, name="files", daemon=True)
    looking.start()
    try:
        server.run([door])
    finally:
        over.set()
        looking.join()
    _still(link)


def _judge(link: BackendLink, stop: StopFlag, changed: Callable[[], bool]) -> None:
    """Judge until `stop` or `changed`. Raises PaymentError where the link has ended by itself."""
    while not stop.wait(LOOK_S) and not changed():
        _still(link)


def _still(link: BackendLink) -> None:
    """Raise PaymentError where the link has ended by itself."""
    if link.wait(0):
        raise PaymentError("trust", "the connection to the broker has ended for good; see the log")


def main(arguments: list[str]) -> int:
    """Entry of `python -m hil.backend --config FILE`; `tessera backend run` adds the parts."""
    logging.basicConfig(level=logging.INFO, format="backend: %(message)s")
    parser = argparse.ArgumentParser(prog="python -m hil.backend")
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--part", choices=("both", "register", "worker"), default="both")
    parser.add_argument("--number", type=int, default=0)
    asked = parser.parse_args(arguments)
    if asked.part != "both":
        # only a supervisor asks for one part; nothing is left behind where it dies
        harden(die_with_parent=True)
    part = Part(asked.part != "worker", asked.part != "register", asked.number)
    try:
        serve(asked.config, part, os.environ.get(DATABASE_VARIABLE))
    except (PaymentError, LinkError, OSError) as error:
        print(f"backend: {error}", file=sys.stderr)  # noqa: T201
        return 1
    return 0
