"""The backend as a process: one TOML file, one broker, one register port on 127.0.0.1.

Rules kept here:
- The configuration is decoded strictly; without TLS only a broker on 127.0.0.1 is used.
- SIGTERM and SIGINT end it cleanly; `kill -9` at any instant loses nothing (see `store` and `mqtt`).
"""

import logging
import signal
import sys
import time
from pathlib import Path
from typing import Annotated

import msgspec
import uvicorn
from msgspec import Meta

from firmware.payment.errors import PaymentError
from firmware.runtime.config import LinkConfig
from hil.backend.backend import Backend
from hil.backend.keys import load_backend_key, load_registrations
from hil.backend.mqtt import BackendLink
from hil.backend.policy import DEMO, Policy
from hil.backend.register import create_app
from hil.backend.store import Store

MIN_TOKEN = 16


class ServiceConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The file; paths are relative to it.

    Attributes:
        store: the database.
        key: the backend's signing key, PEM.
        terminals: the registrations, JSON (`keys.save_registrations`).
        token: a file with the register's bearer token.
        port: of the register on 127.0.0.1.
        broker: as a terminal's `link`.
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


def serve(path: Path) -> None:
    """Run until SIGTERM or SIGINT. Raises PaymentError where the configuration or a key cannot be used."""
    config, base = load_service_config(path), path.resolve().parent
    token = (base / config.token).read_text().strip()
    if len(token) < MIN_TOKEN:
        raise PaymentError("trust", f"{base / config.token}: a token of at least {MIN_TOKEN} characters is needed")
    broker = config.broker
    if broker.tls is not None:
        tls = {name: str(base / getattr(broker.tls, name)) for name in ("ca", "certificate", "key")}
        broker = msgspec.structs.replace(broker, tls=msgspec.structs.replace(broker.tls, **tls))
    key, registrations = load_backend_key(base / config.key), load_registrations(base / config.terminals)
    store = Store(base / config.store)
    try:
        backend = Backend(store, key, registrations, config.policy, lambda: int(time.time()))
        link = BackendLink(backend, broker)
        link.start()
        try:
            app = create_app(backend, link, token)
            server = uvicorn.Server(uvicorn.Config(app, "127.0.0.1", config.port, log_level="warning"))

            def end(*_: object) -> None:
                server.should_exit = True

            # for the moments before uvicorn has its own handlers, and after: it raises the signal again at its end
            signal.signal(signal.SIGTERM, end)
            signal.signal(signal.SIGINT, end)
            server.run()
        finally:
            link.stop()
    finally:
        store.close()


def main(arguments: list[str]) -> int:
    """Entry of `python -m hil.backend --config FILE`."""
    logging.basicConfig(level=logging.INFO, format="backend: %(message)s")
    if len(arguments) != 2 or arguments[0] != "--config":
        print("usage: python -m hil.backend --config FILE", file=sys.stderr)  # noqa: T201
        return 2
    try:
        serve(Path(arguments[1]))
    except (PaymentError, OSError) as error:
        print(f"backend: {error}", file=sys.stderr)  # noqa: T201
        return 1
    return 0
