"""The backend as a process: one TOML file, one broker, one database; the register on 127.0.0.1, a worker, or both.

Rules kept here:
- The configuration is decoded strictly; without TLS only a broker on 127.0.0.1 is used.
- SIGTERM and SIGINT end it cleanly; `kill -9` at any instant loses nothing (see `store` and `mqtt`).
"""

import argparse
import logging
import os
import signal
import sys
import time
from pathlib import Path
from typing import Annotated

import msgspec
import uvicorn
from fastapi import FastAPI
from msgspec import Meta

from firmware.payment.errors import PaymentError
from firmware.runtime.config import LinkConfig
from firmware.runtime.hardening import harden
from firmware.runtime.stop import stopped_by
from hil.backend.backend import Backend
from hil.backend.fleet import Fleet
from hil.backend.keys import load_backend_key, load_registrations
from hil.backend.mqtt import BackendLink, suffix
from hil.backend.policy import DEMO, Policy
from hil.backend.register import create_app
from hil.backend.store import Store
from hil.backend.terminals import Terminals

MIN_TOKEN = 16
LOOK_S = 1.0
# the database's URL, where a supervisor hands it on: a password does not belong on a command line
DATABASE_VARIABLE = "TESSERA_BACKEND_DATABASE"


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
    """

    store: str
    key: str
    terminals: str
    token: str
    port: Annotated[int, Meta(ge=1, le=65535)]
    broker: LinkConfig
    policy: Policy = DEMO


def load_service_config(path: Path) -> ServiceConfig:
    """Read the file. Raises PaymentError `trust` that names file and reason."""
    try:
        config = msgspec.toml.decode(path.read_bytes(), type=ServiceConfig, strict=True)
    except (OSError, UnicodeDecodeError, msgspec.DecodeError) as error:
        raise PaymentError("trust", f"{path}: {error}") from error
    if config.broker.tls is None and config.broker.host != "127.0.0.1":
        raise PaymentError("trust", f"{path}: broker.tls: missing; a broker without TLS is for 127.0.0.1 only")
    return config


class Part(msgspec.Struct, frozen=True):
    """What one process does: keep the register, judge as a worker, or both; `number` tells processes apart."""

    register: bool = True
    judges: bool = True
    number: int = 0


ALONE = Part()


def serve(path: Path, part: Part = ALONE, database: str | None = None) -> None:
    """Run until SIGTERM or SIGINT; `database` instead of the file's `store`.

    Raises:
        PaymentError: the configuration, a key or the database cannot be used.
        OSError: a file cannot be read.
    """
    config, base = load_service_config(path), path.resolve().parent
    token = (base / config.token).read_text().strip()
    if len(token) < MIN_TOKEN:
        raise PaymentError("trust", f"{base / config.token}: a token of at least {MIN_TOKEN} characters is needed")
    key, registrations = load_backend_key(base / config.key), load_registrations(base / config.terminals)
    store = Store(database or (config.store if "://" in config.store else str(base / config.store)))
    try:
        backend = Backend(store, key, registrations, config.policy, _now)
        fleet = Fleet(store, key, Terminals(registrations), _now)
        link = BackendLink(backend, fleet, _broker(config, base, part.number), part.number, judges=part.judges)
        link.start()
        try:
            if part.register:
                _keep_register(create_app(backend, link, token), config.port)
            else:
                _judge(link)
        finally:
            link.stop()
    finally:
        store.close()


def _now() -> int:
    return int(time.time())


def _broker(config: ServiceConfig, base: Path, number: int) -> LinkConfig:
    broker = config.broker
    if broker.tls is None:
        return broker
    names = {name: getattr(broker.tls, name).replace("{worker}", suffix(number)) for name in ("certificate", "key")}
    paths = {name: str(base / given) for name, given in ({"ca": broker.tls.ca} | names).items()}
    return msgspec.structs.replace(broker, tls=msgspec.structs.replace(broker.tls, **paths))


def _keep_register(app: FastAPI, port: int) -> None:
    server = uvicorn.Server(uvicorn.Config(app, "127.0.0.1", port, log_level="warning"))

    def end(*_: object) -> None:
        server.should_exit = True

    # for the moments before uvicorn has its own handlers, and after: it raises the signal again at its end
    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    server.run()


def _judge(link: BackendLink) -> None:
    """Judge until a signal. Raises PaymentError where the link has ended by itself."""
    with stopped_by(signal.SIGTERM, signal.SIGINT) as stop:
        while not stop.wait(LOOK_S):
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
    except (PaymentError, OSError) as error:
        print(f"backend: {error}", file=sys.stderr)  # noqa: T201
        return 1
    return 0
