"""`tessera rig load`: how many authorizations a backend answers, how fast, and what bounds it.

Several hundred simulated terminals without camera or face, but with real MQTT clients over mutual TLS, real outboxes,
real signatures; mosquitto and the backend's workers are processes of their own, as in production. Everything, callers
too, runs on one machine, so the figures are of that machine whole.

Rules kept here:
- Beside it stands an MQTT echo with the same two durable commits (one where it is asked, one where it is answered in
  the same kind of database), through the same broker, in the same run, in turns with the real thing.
- An answer's time runs from before the terminal signs and stores until its receipt has come, unverified yet.
- CPU time is read from the processes themselves; wall time on a shared machine says little.
"""

import contextlib
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np
import psutil

from drivers.secure_element.interface import SecureElement
from firmware.payment import schema
from firmware.payment.messages import Mandate
from firmware.payment.money import Amount
from firmware.payment.trust import Trust, key_id
from hil.backend.backend import Backend
from hil.backend.cluster import cluster
from hil.backend.keys import create_backend_key, create_root, registration, save_registrations, sign_key_set
from hil.backend.policy import DEMO
from hil.backend.simulator import SimulatedTerminal, new_element
from hil.backend.store import Store
from hil.backend.terminals import Terminals
from hil.rig.brokers import Broker, free_port, mosquitto
from hil.rig.certificates import Authority, Identity
from hil.rig.load_callers import Caller, Crowd, EchoCaller, LoadError, PayingTerminal
from hil.rig.load_echo import ACCESS, USER

Kind = Literal["sqlite", "postgresql"]
READY_S = 60.0
CONSENT = bytes(32)


class Measured(msgspec.Struct, frozen=True):
    """One measurement: `terminals` at once, each one question at a time.

    `milliseconds`: of each answer. `cpu_ms`: CPU time for each answer, milliseconds, by process: `backend`,
    `database`, `broker`, `callers`, `echo`.
    """

    what: Literal["payments", "echo"]
    terminals: int
    answers: int
    seconds: float
    p50_ms: float
    p99_ms: float
    cpu_ms: dict[str, float]
    milliseconds: list[float]

    @property
    def per_second(self) -> float:
        """Answers each second."""
        return self.answers / self.seconds


@dataclass(frozen=True)
class Field:
    """Where it is measured: everything but the callers."""

    folder: Path
    database: str
    kind: Kind
    broker: Broker
    authority: Authority
    backend: Backend
    trust: Trust
    elements: Mapping[str, SecureElement]
    watched: dict[str, int]


@contextlib.contextmanager
def field(folder: Path, kind: Kind, workers: int, terminals: int) -> Iterator[Field]:
    """Lay out keys, certificates and `terminals` terminals, and start broker, database, `workers` workers and echo."""
    authority = Authority(folder / "ca")
    with contextlib.ExitStack() as running:
        broker = running.enter_context(mosquitto(folder / "broker", authority))
        watched = {"broker": broker.pid}
        with (folder / "broker" / "acl").open("a") as acl:
            acl.write(ACCESS)
        broker.reload()
        url, echo_url = f"sqlite:///{folder}/backend.db", f"sqlite:///{folder}/echo.db"
        if kind == "postgresql":
            server = running.enter_context(cluster())
            url, echo_url, watched["database"] = server.create(), server.create(), server.pid
        key = create_backend_key(folder / "backend.pem")
        root = create_root(folder / "root.pem", folder / "root.json")
        (folder / "key-set.cose").write_bytes(sign_key_set(root, [key.public_key()], version=1, now=int(time.time())))
        trust = Trust({key_id(key.public_key()): key.public_key()})
        (folder / "outboxes").mkdir()
        elements = {f"till-{number}": new_element() for number in range(terminals)}
        registrations = [
            registration(name, SimulatedTerminal.merchant, "demo", element.public_key)
            for name, element in elements.items()
        ]
        save_registrations(folder / "terminals.json", registrations)
        store = Store(url)
        running.callback(store.close)
        backend = Backend(store, key, Terminals(registrations), DEMO, lambda: int(time.time()))
        watched["backend"] = running.enter_context(_backend(folder, url, workers, broker, authority))
        watched["echo"] = running.enter_context(_echo(echo_url, broker, authority.issue_client(USER)))
        yield Field(folder, url, kind, broker, authority, backend, trust, elements, watched)


def measure_payments(field: Field, terminals: int, each: int) -> Measured:
    """Let so many terminals pay `each` times, all at once. Raises LoadError."""
    return _measure("payments", field, {name: _paying(field, name, each) for name in list(field.elements)[:terminals]})


def _paying(field: Field, name: str, each: int) -> Callable[[], Caller]:
    """Issue a mandate and the intents; what is returned opens the outbox and the intents in it."""
    payer = f"payer-of-{name}"
    envelope = field.backend.issue_mandate(name, payer, "payment", CONSENT)
    mandate = schema.verify(envelope, Mandate, field.trust.resolve)[1].id
    intents = [field.backend.issue_intent(name, Amount(1250, "EUR"), payer)[1] for _ in range(each)]
    path = field.folder / "outboxes" / f"{name}.db"
    return lambda: PayingTerminal(SimulatedTerminal(path, field.trust, field.elements[name], name), mandate, intents)


def measure_echoes(field: Field, terminals: int, each: int, size: int) -> Measured:
    """The same with the echo, `size` bytes a question. Raises LoadError."""
    folder = field.folder / f"echo-{secrets.token_hex(4)}"
    folder.mkdir()
    names = [f"echo-{number}" for number in range(terminals)]
    return _measure("echo", field, {name: partial(EchoCaller, name, folder, size, each) for name in names})


def _measure(what: Literal["payments", "echo"], field: Field, makes: dict[str, Callable[[], Caller]]) -> Measured:
    crowd = Crowd([(make, field.authority.issue_client(name)) for name, make in makes.items()], field.broker)
    before: dict[str, float] = {}
    seconds, answers = crowd.run(lambda: before.update(_cpu(field.watched)))
    used = {name: spent - before[name] for name, spent in _cpu(field.watched).items()}
    milliseconds = [1e3 * answer for answer in answers]
    p50, p99 = (float(np.percentile(milliseconds, part)) for part in (50, 99))
    cpu = {name: 1e3 * spent / len(answers) for name, spent in used.items()}
    return Measured(what, len(makes), len(answers), seconds, p50, p99, cpu, milliseconds)


def _cpu(watched: dict[str, int]) -> dict[str, float]:
    """CPU seconds so far of each process and its children, and of this one."""
    spent = {"callers": time.process_time()}
    for name, pid in watched.items():
        tree = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
        times = [one.cpu_times() for one in tree]
        spent[name] = sum(each.user + each.system for each in times)
    return spent


@contextlib.contextmanager
def _backend(folder: Path, database: str, workers: int, broker: Broker, authority: Authority) -> Iterator[int]:
    """The register and its workers; yields the process id of their supervisor. Raises LoadError."""
    first, *_ = [authority.issue_client(name) for name in ("backend", *(f"backend-{n + 1}" for n in range(workers)))]
    certificate, key = (path.with_stem("backend{worker}") for path in (first.certificate, first.key))
    token, port = secrets.token_hex(16), free_port()
    (folder / "token").write_text(token)
    (folder / "backend.toml").write_text(
        f'store = "{database}"\nkey = "backend.pem"\nterminals = "terminals.json"\ntoken = "token"\nport = {port}\n'
        f'[broker]\nhost = "{broker.host}"\nport = {broker.port}\n'
        f'[broker.tls]\nca = "{first.ca}"\ncrl = "{first.crl}"\ncertificate = "{certificate}"\nkey = "{key}"\n'
    )
    command = ["-m", "firmware.cli", "backend", "run", "--config", str(folder / "backend.toml")]
    with (folder / "backend.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, *command, "--workers", str(workers)], stdout=log, stderr=log, stdin=subprocess.DEVNULL
        )
    try:
        deadline = time.monotonic() + READY_S
        # the register and every worker at the broker
        while (folder / "backend.log").read_text().count("connected to") < workers + 1:
            if process.poll() is not None or time.monotonic() > deadline:
                raise LoadError(f"the backend does not come up; see {folder / 'backend.log'}")
            time.sleep(0.05)
        yield process.pid
    finally:
        process.terminate()
        process.wait(READY_S)


@contextlib.contextmanager
def _echo(database: str, broker: Broker, identity: Identity) -> Iterator[int]:
    """The echo's process, once it listens; yields its id. Raises LoadError."""
    files = [str(path) for path in (identity.ca, identity.crl, identity.certificate, identity.key)]
    command = [sys.executable, "-m", "hil.rig.load_echo", database, str(broker.port), *files]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        if process.stdout.readline() != b"ready\n":
            raise LoadError("the echo does not come up")
        yield process.pid
    finally:
        process.terminate()
        process.wait(READY_S)
