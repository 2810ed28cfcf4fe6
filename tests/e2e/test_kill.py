"""`kill -9` at random instants of a payment: at most one authorization, none lost.

Judged by two ledgers outside the terminal: the register's word on each intent, and what a tap saw on the broker.
"""

import contextlib
import os
import random
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from firmware.core.client import ask
from firmware.core.errors import TerminalError
from firmware.runtime.ipc import IpcError
from firmware.runtime.messages import Event, Subscribe, Tap
from hil.rig.customer import enrol
from hil.rig.site import Site, SiteError
from hil.rig.tap import Tap as BrokerTap
from hil.sensor.stage import Person, Stage

RUNS = 30
SEED = 20_261_123
CUSTOMER, PAYER = Person(91_000), "payer-kill"
# A payment takes about a second and a half from the request to the receipt.
LONGEST_S = 2.0
VICTIMS = ("core", "camera", "link", "supervisor", "backend", "broker")
FINAL = {"approved", "declined", "rejected", "expired"}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, models_dir: Path, mosquitto_installed: None) -> Iterator[Site]:
    with Site.make(tmp_path_factory.mktemp("kill"), broker="mosquitto") as site:
        enrol(site, CUSTOMER, PAYER)
        site.show(Stage(subject=CUSTOMER))
        yield site


def kill(site: Site, victim: str) -> None:
    """End one process as a power cut would."""
    if victim == "broker":
        site.broker.kill()
    elif victim == "backend":
        site.kill_backend()
    elif victim == "supervisor":
        assert site.terminal is not None
        site.terminal.kill()
        site.terminal.wait()
        site.terminal = None
    else:
        with contextlib.suppress(SiteError, ProcessLookupError):
            os.kill(site.pid(victim), signal.SIGKILL)


def revive(site: Site, victim: str) -> None:
    """Start again what nobody supervises; wait until all is up."""
    if victim == "broker":
        site.broker.start()
    elif victim == "backend":
        site.start_backend()
    elif victim == "supervisor":
        site.start_terminal()
    site.wait_for("the backend", site.backend_ready)
    site.wait_for("the terminal", lambda: all(site.up().values()))


def pay_under_fire(site: Site, victim: str, after_s: float) -> str:
    """Ask for a payment, tap when asked, and kill `victim` after `after_s` seconds. Returns the intent."""
    with site.control() as core:
        ask(core, Subscribe(), timeout_s=5)
        intent = site.request("2.00", "EUR", PAYER)
        killer = threading.Timer(after_s, kill, (site, victim))
        killer.start()
        deadline = time.monotonic() + after_s + 0.5
        with contextlib.suppress(IpcError, TerminalError):
            while time.monotonic() < deadline:
                event = core.receive(0.1)
                if isinstance(event, Event) and (event.stage, event.reason) == ("prompt", "tap"):
                    core.send(Tap(scene=event.scene))
        killer.join()
    return intent


@pytest.mark.timeout(600)
def test_kill_at_random_instants_neither_doubles_nor_loses_a_payment(site: Site) -> None:
    assert site.authority is not None
    rng = random.Random(SEED)
    intents = {}
    with BrokerTap(site.broker, site.authority) as tap:
        for run in range(RUNS):
            victim, after_s = VICTIMS[run % len(VICTIMS)], rng.uniform(0, LONGEST_S)
            intent = pay_under_fire(site, victim, after_s)
            intents[intent] = f"run {run}: {victim} after {after_s:.2f} s"
            revive(site, victim)
        for intent, what in intents.items():
            site.wait_for(f"the end of {what}", lambda intent=intent: site.state(intent)[0] in FINAL, 150)
        site.wait_for("an empty outbox", lambda: site.status().outbox_waiting == 0)
        authorized, declined = tap.distinct("authorization"), tap.distinct("decline")
    states = {intent: site.state(intent)[0] for intent in intents}
    for intent, what in intents.items():
        assert len(authorized.get(intent, ())) <= 1, f"two authorizations: {what}"
        assert not (intent in authorized and intent in declined), f"yes and no: {what}"
        if intent in authorized:
            assert states[intent] == "approved", f"lost: {what}: {states[intent]}"
        else:
            assert states[intent] != "approved", f"approved without an authorization on the wire: {what}"
    # Both kinds of ending must have been hit, or the test shows nothing.
    assert {"approved", "declined"} <= set(states.values())


def test_core_that_dies_in_a_payment_comes_back_and_declines_it(site: Site) -> None:
    site.show(Stage())
    intent = pay_under_fire(site, "core", 0.5)
    revive(site, "core")
    site.wait_for("the register", lambda: site.state(intent)[0] != "open", 10)
    assert site.state(intent) == ("declined", "interrupted")
    site.show(Stage(subject=CUSTOMER))
