"""One round of the chaos run: a town is opened, has its day, comes to rest, and is judged. Simulated.

Rules kept here:
- Nothing is judged before everything is at rest: faults over, every order ended, every outbox empty, processes ended in
  good order. What is not at rest by then is a violation.
"""

import contextlib
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

import msgspec

from firmware.core.client import ask as ask_core
from firmware.core.client import control
from firmware.core.errors import TerminalError
from firmware.payment.trust import load_pem
from firmware.runtime.messages import Status
from hil.backend.cluster import Cluster, cluster
from hil.backend.keys import load_backend_key, load_registrations
from hil.backend.store import Payment, Store
from hil.rig import chaos_witness as witness
from hil.rig.brokers import mosquitto
from hil.rig.certificates import Authority
from hil.rig.chaos_faults import Fault, Hand
from hil.rig.chaos_judge import Case, Violation, judge
from hil.rig.chaos_lane import MIX, Kind, Lane, draw, find_lost
from hil.rig.chaos_layout import CAMERA_PAYER, add_camera, found, people_of
from hil.rig.chaos_network import Wires
from hil.rig.chaos_town import Terminal, Town
from hil.rig.customer import enrol, obliging
from hil.rig.register import Register
from hil.rig.soft_tpm import SoftTpm
from hil.rig.tap import Tap
from hil.sensor.stage import Alive, Stage

Database = Literal["sqlite", "postgresql"]
Tell = Callable[[str, int], None]
"""Hears what a round does now, and how many orders more are over."""
FAULTS = "faults.jsonl"
HANDS = 5
READY_S = 120.0
REST_S = 180.0
TRIES = 6
# in front of the camera: somebody of the demonstration
PERSON = 2
BEFORE_THE_CAMERA: tuple[Kind, ...] = ("pays", "taps_twice", "cashier_cancels", "reversed", "refunded")


class Round(msgspec.Struct, frozen=True, kw_only=True):
    """What one round came to: a line of the run's file.

    Attributes:
        orders: how many, and of these `looked` at a terminal with a camera.
        ends: by the register's last word, e.g. `approved`, `rejected/expired`.
        faults: by what was done.
        aimed: how many of these when an authorization or an intent had just passed.
        passed: what passed the broker, by kind, every delivery counted.
        resolved: what became of those whose screen said "unknown".
        offline: what became of those whose screen said "taken offline".
        problems: calls that were never answered.
    """

    seed: int
    database: Database
    seconds: float
    orders: int
    looked: int
    ends: dict[str, int]
    faults: dict[str, int]
    aimed: int
    passed: dict[str, int]
    resolved: dict[str, int]
    offline: dict[str, int]
    deaths: int
    forged: int
    problems: list[str]
    violations: list[Violation]


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """How large a round is: orders at tills on a recorded verdict (`tills` of them), and before the camera.

    `workers`: of the backend, besides its register.
    `counting`: how many of the tills have a TPM, in software, and so may take something offline.
    """

    seed: int
    database: Database
    orders: int
    looked: int
    tills: int
    counting: int = 0
    workers: int = 3


def play(plan: Plan, folder: Path, tell: Tell) -> Round:
    """Play one round in `folder`, an absolute path that must not exist; judge it. `tell`: how far it is.

    Raises:
        BrokerError, ClusterError, SiteError, RegisterError, TerminalError: the round could not be played.
    """
    folder.mkdir(parents=True)
    began, authority = time.monotonic(), Authority(folder / "ca")
    tell(f"round {plan.seed}: starting", 0)
    with contextlib.ExitStack() as stack:
        postgres, tpms = stack.enter_context(_cluster(plan)), stack.enter_context(_tpms(plan.counting))
        broker, wires = stack.enter_context(mosquitto(folder / "broker", authority)), stack.enter_context(Wires())
        town = found(folder, broker, authority, wires, postgres, plan.tills, plan.workers, tpms)
        if plan.looked:
            add_camera(town)
        with Tap(broker, authority, folder / witness.TAP) as tap, _register(town) as register:
            with town.running():
                lanes = _open(town, plan, register, lambda: tell(f"round {plan.seed}: orders", 1))
                tell(f"round {plan.seed}: orders", 0)
                _work(lanes, [Hand(town, tap, f"{plan.seed}/{number}", folder / FAULTS) for number in range(HANDS)])
                tell(f"round {plan.seed}: coming to rest", 0)
                _rest(town, lanes, register)
            books = _books(town)
        return _judged(plan, town, lanes, books, time.monotonic() - began)


@contextlib.contextmanager
def _cluster(plan: Plan) -> Iterator[Cluster | None]:
    if plan.database == "sqlite":
        yield None
        return
    with cluster() as running:
        yield running


@contextlib.contextmanager
def _tpms(count: int) -> Iterator[list[SoftTpm]]:
    with tempfile.TemporaryDirectory(prefix="tpms") as folder, contextlib.ExitStack() as stack:
        made = [SoftTpm(Path(folder) / str(number)) for number in range(count)]
        for tpm in made:
            stack.callback(tpm.kill)
            tpm.start()
        yield made


def _register(town: Town) -> Register:
    return Register(town.site.register_url, town.site.token, town.folder / witness.REGISTER)


def _open(town: Town, plan: Plan, register: Register, over: Callable[[], None]) -> list[Lane]:
    """Wait until everything runs, enrol those who pay, and draw the day. `over`: told of each order that is."""
    town.site.wait_for("the backend", town.site.backend_ready)
    people_of(town)
    if plan.looked:
        _enrol(town, town.terminals[-1])
    for terminal in town.terminals:
        terminal.open.set()
    for terminal in town.terminals:
        _await(town, terminal)
    return [_lane(town, plan, register, terminal, over) for terminal in town.terminals]


def _await(town: Town, terminal: Terminal) -> None:
    town.site.wait_for(terminal.name, lambda: _ready(terminal), READY_S)


def _enrol(town: Town, terminal: Terminal) -> None:
    """Enrol who pays before the camera, before the others run: a busy machine shows few frames; it may take tries."""
    terminal.open.set()
    subject = Alive(f"virtual-{PERSON}", obliging(PERSON))
    for left in reversed(range(TRIES)):
        _await(town, terminal)
        try:
            enrol(town.site, subject, CAMERA_PAYER)
            break
        except TerminalError:
            if not left:
                raise
    town.site.show(Stage(subject=subject))


def _lane(town: Town, plan: Plan, register: Register, terminal: Terminal, over: Callable[[], None]) -> Lane:
    kinds = BEFORE_THE_CAMERA if terminal.camera else tuple(MIX)
    orders = plan.looked if terminal.camera else _orders(plan, town.terminals.index(terminal))
    drawn = list(draw(plan.seed, terminal.name, terminal.payers, orders, kinds))
    return Lane(terminal, register, drawn, town.folder / witness.SCREENS, over)


def _orders(plan: Plan, number: int) -> int:
    """How many fall to till `number`, so that all together are as planned."""
    return plan.orders // plan.tills + (number < plan.orders % plan.tills)


def _ready(terminal: Terminal) -> bool:
    """Whether it is up, has its camera, knows the time and reaches its broker."""
    try:
        with control(terminal.config) as core:
            status = ask_core(core, Status(), timeout_s=5)
    except TerminalError:
        return False
    return bool(status.link == "connected" and not status.clock and status.camera == terminal.config.camera.serial)


def _idle(terminal: Terminal) -> bool:
    """Whether nobody is served and every answer has its receipt."""
    try:
        with control(terminal.config) as core:
            status = ask_core(core, Status(), timeout_s=5)
    except TerminalError:
        return False
    return bool(status.session == "idle" and status.outbox_waiting == 0)


def _work(lanes: list[Lane], hands: list[Hand]) -> None:
    """Let every till and every hand do its work; a defect in one of them ends the round."""
    with ThreadPoolExecutor(len(lanes) + len(hands)) as pool:
        faults = [pool.submit(hand.work) for hand in hands]
        try:
            for lane in [pool.submit(lane.run) for lane in lanes]:
                lane.result()
        finally:
            for hand in hands:
                hand.stop()
            for till in lanes:
                till.stop()
        for fault in faults:
            fault.result()


def _rest(town: Town, lanes: list[Lane], register: Register) -> None:
    """Let everything come to its end: orders, outboxes, and what nobody knows the end of."""
    for lane in lanes:
        lane.finish()
    ledger = witness.orders(town.folder / witness.REGISTER)
    find_lost(register, [reference for reference, order in ledger.items() if not order.intents])
    with contextlib.suppress(TerminalError):  # what waits still is a violation, and told as one
        town.site.wait_for("a terminal", lambda: all(_idle(terminal) for terminal in town.terminals), REST_S)


def _books(town: Town) -> list[Payment]:
    store = Store(town.database)
    try:
        return store.transact(lambda ledger: ledger.payments())
    finally:
        store.close()


def _judged(plan: Plan, town: Town, lanes: list[Lane], books: list[Payment], seconds: float) -> Round:
    folder, site = town.folder, town.site.folder
    registered = load_registrations(site / "terminals.json")
    keys = [load_pem(known.public_key.encode(), known.terminal) for known in registered]
    broker = witness.wire(folder / witness.TAP, load_backend_key(site / "backend.key").public_key(), keys)
    register = witness.orders(folder / witness.REGISTER)
    tills = witness.terminals([terminal.outbox for terminal in town.terminals])
    made = witness.cases(register, broker, tills, books, witness.screens(folder / witness.SCREENS))
    lines = (folder / FAULTS).read_bytes().splitlines()
    faults = [msgspec.json.decode(line, type=Fault) for line in lines]
    camera = town.site.config.terminal
    return Round(
        seed=plan.seed,
        database=plan.database,
        seconds=round(seconds, 1),
        orders=len(register),
        looked=sum(order.terminal == camera for order in register.values()),
        ends=dict(Counter(case.end for case in made)),
        faults=dict(Counter(fault.what for fault in faults)),
        aimed=sum(fault.aimed for fault in faults),
        passed=dict(broker.passed),
        resolved=dict(Counter(case.state for case in made if _said(case, "Unknown"))),
        offline=dict(Counter(case.end for case in made if _said(case, "Taken offline"))),
        deaths=sum(kept.deaths for kept in town.kept),
        forged=broker.forged,
        problems=[problem for lane in lanes for problem in lane.problems],
        violations=judge(made),
    )


def _said(case: Case, word: str) -> bool:
    return any(text.startswith(word) for text in case.screens)
