"""A chaos run: the verdict it plays back, the day it draws, its witnesses, its rounds. And one small round."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from typer.testing import CliRunner

from firmware.core.watch import MakeWatch
from firmware.liveness.policy import load_policy
from firmware.liveness.verdict import GATES, weigh
from firmware.payment import schema
from firmware.payment.errors import PaymentError
from firmware.payment.messages import Intent
from firmware.payment.money import Amount
from firmware.payment.trust import load_public_key
from firmware.runtime.config import load_profile
from hil.backend.keys import signer
from hil.backend.shop import PAYER, Shop
from hil.rig import chaos, chaos_commands
from hil.rig import chaos_witness as witness
from hil.rig.chaos import run
from hil.rig.chaos_judge import Kind, judge
from hil.rig.chaos_lane import MIX, Lane, draw
from hil.rig.chaos_layout import keep_history
from hil.rig.chaos_round import Plan, Round, Tell, play
from hil.rig.commands import rig
from hil.rig.register import Line, Order, RegisterError
from hil.rig.tap import Passed
from hil.rig.verdicts import RecordedWatch, recorded


def test_the_recorded_verdict_is_one_that_today_s_policy_would_come_to() -> None:
    finding = recorded()
    policy, _ = load_policy(load_profile("rig").liveness)
    assert {gate.name for gate in finding.gates} >= set(GATES)
    assert weigh(finding.gates, finding.cues, policy).reason == ""


def test_no_recorded_verdict_is_given_where_movement_is_asked_for() -> None:
    make: MakeWatch = RecordedWatch
    parts = cast("Any", SimpleNamespace(profile=load_profile("rig")))
    watch = make(cast("Any", None), parts, cast("Any", None), "dynamic", 0)
    assert asyncio.run(cast("Any", watch.begin())) == "camera_unfit"


def test_the_same_seed_draws_the_same_day_and_no_two_amounts_at_a_till_are_alike() -> None:
    kinds = tuple(MIX)
    day = list(draw(7, "till-2", ("payer-1", "payer-2"), 300, kinds))
    assert day == list(draw(7, "till-2", ("payer-1", "payer-2"), 300, kinds))
    assert day != list(draw(7, "till-3", ("payer-1", "payer-2"), 300, kinds))
    assert len({drawn.shown for drawn in day}) == 300
    assert {drawn.kind for drawn in day} == set(kinds)


class Told:
    """An honest payment at `till-1`, and the ledgers its witnesses wrote."""

    def __init__(self, folder: Path) -> None:
        self.folder, outbox = folder, folder / "till-1.db"
        keep_history(outbox)
        self.shop = Shop(folder)
        self.passed: list[Passed] = []
        intent, envelope = self.shop.backend.issue_intent("till-1", Amount(1250, "EUR"), PAYER)
        self.tap("intent", envelope)
        self.authorization = self.shop.till.authorize(
            self.shop.till.open(envelope, self.shop.time), self.shop.mandate, self.shop.time
        )
        self.tap("authorization", self.authorization)
        receipt = self.shop.backend.handle("till-1", self.authorization)
        self.tap("receipt", receipt)
        self.shop.till.outbox.settle(receipt, self.shop.trust, "till-1")
        self.register = [
            Line("r-1", "ask", 1.0, PAYER, "till-1", 1250, "EUR"), Line("r-1", "intent", 1.1, intent.hex()),
            Line("r-1", "state", 1.2, "open"), Line("r-1", "state", 1.3, "approved"),
        ]  # fmt: skip

    def tap(self, kind: str, envelope: bytes) -> None:
        self.passed.append(Passed(f"tessera/v1/till-1/{kind}", envelope.hex()))

    def kinds(self, books: list[Any] | None = None) -> set[Kind]:
        """What the judge finds."""
        (self.folder / "register").write_bytes(msgspec.json.Encoder().encode_lines(self.register))
        (self.folder / "tap").write_bytes(msgspec.json.Encoder().encode_lines(self.passed))
        self.shop.till.outbox.close()
        key = load_public_key(self.shop.till.element.public_key)
        self.wire = witness.wire(self.folder / "tap", self.shop.key.public_key(), [key])
        made = witness.cases(
            witness.orders(self.folder / "register"), self.wire, witness.terminals([self.folder / "till-1.db"]),
            self.shop.backend.payments() if books is None else books, {},
        )  # fmt: skip
        return {violation.kind for violation in judge(made)}


@pytest.fixture
def told(tmp_path: Path) -> Iterator[Told]:
    told = Told(tmp_path)
    yield told
    told.shop.close()


def test_an_honest_payment_is_told_alike_by_all_witnesses(told: Told) -> None:
    assert told.kinds() == set()
    assert told.wire.forged == 0


def test_a_payment_gone_from_the_books_is_lost(told: Told) -> None:
    assert told.kinds(books=[]) == {"lost"}


def test_a_payment_nobody_ordered_is_found_in_the_books(told: Told) -> None:
    told.register = []
    assert "contradiction" in told.kinds()


def test_a_second_authorization_on_the_broker_is_a_double(told: Told) -> None:
    again = msgspec.structs.replace(told.shop.till.read(told.authorization), id=bytes(16))
    told.tap("authorization", told.shop.till.sign(again))
    assert told.kinds() == {"double"}


def test_an_authorization_by_a_stranger_is_no_witness(told: Told) -> None:
    stranger = ec.generate_private_key(ec.SECP256R1())
    message = msgspec.structs.replace(told.shop.till.read(told.authorization), id=bytes(16))
    told.tap("authorization", schema.sign(message, signer(stranger), bytes(8)))
    told.tap("receipt", b"not an envelope")
    assert told.kinds() == set()
    assert told.wire.forged == 2


def test_what_the_outbox_forgets_in_time_is_still_told(told: Told) -> None:
    told.shop.time += 1000
    told.shop.open()  # raises the floor above the first intent's end: its row leaves
    assert told.shop.till.outbox.waiting() == 0
    kinds = told.kinds()
    rows = witness.terminals([told.folder / "till-1.db"]).rows
    assert [row.outcome for row in rows[told.register[1].says]] == ["approved"]
    assert kinds == set()


def test_a_receipt_that_passed_and_was_never_settled_leaves_the_terminal_unfinished(told: Told) -> None:
    accepted = told.shop.open(999)
    authorization = told.shop.till.authorize(accepted, told.shop.mandate, told.shop.time)
    told.tap("authorization", authorization)
    told.tap("receipt", told.shop.backend.handle("till-1", authorization))
    told.register += [
        Line("r-2", "ask", 2.0, PAYER, "till-1", 999, "EUR"), Line("r-2", "intent", 2.1, accepted.intent.id.hex()),
        Line("r-2", "state", 2.2, "approved"),
    ]  # fmt: skip
    assert told.kinds() == {"unfinished"}


def test_intents_that_passed_are_counted_once_each_however_often_they_came(told: Told) -> None:
    told.passed += told.passed[:1] * 3
    assert told.kinds() == set()
    assert told.wire.passed["intent"] == 4
    with pytest.raises(PaymentError):
        schema.verify(bytes.fromhex(told.passed[1].envelope), Intent, told.shop.trust.resolve)


EMPTY = Round(
    seed=0, database="sqlite", seconds=1.0, orders=1, looked=0, ends={}, faults={}, aimed=0, passed={}, resolved={},
    offline={}, deaths=0, forged=0, problems=[], violations=[],
)  # fmt: skip


def test_a_run_that_was_interrupted_goes_on_with_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    played: list[int] = []

    def once(plan: Plan, folder: Path, tell: Tell) -> Round:
        folder.mkdir()
        played.append(plan.seed)
        if len(played) == 2:
            raise KeyboardInterrupt
        return msgspec.structs.replace(EMPTY, seed=plan.seed)

    monkeypatch.setattr(chaos, "play", once)
    plans = [Plan(seed=seed, database="sqlite", orders=1, looked=0, tills=1) for seed in (1, 2, 3)]
    with pytest.raises(KeyboardInterrupt):
        list(run(plans, tmp_path / "rounds.jsonl", tmp_path, hear_nothing))
    assert [one.seed for one in run(plans, tmp_path / "rounds.jsonl", tmp_path, hear_nothing)] == [1, 2, 3]
    assert played == [1, 2, 2, 3]
    assert not list(tmp_path.glob("round-*")), "nothing is kept of rounds in which nothing was wrong"


def test_a_run_in_a_folder_named_from_here_lays_its_towns_out_where_their_configurations_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page's own command: what a configuration names is looked for beside that file, not from here."""
    folders: list[Path] = []

    def once(plan: Plan, folder: Path, tell: Tell) -> Round:
        folder.mkdir()
        folders.append(folder)
        tell(f"round {plan.seed}: orders", plan.orders)
        return msgspec.structs.replace(EMPTY, seed=plan.seed)

    monkeypatch.setattr(chaos, "play", once)
    monkeypatch.setattr(chaos_commands, "end_in_good_order", lambda: None)
    monkeypatch.chdir(tmp_path)
    ran = CliRunner().invoke(rig, ["chaos", "--out", "run/chaos", "--payments", "2", "--looked", "0", "--rounds", "2"])
    assert ran.exit_code == 0, ran.output
    assert folders == [tmp_path / "run/chaos/round-1", tmp_path / "run/chaos/round-2"]
    assert (tmp_path / "run/chaos/chaos.json").exists()


def test_a_lane_tells_of_every_order_that_is_over_even_where_the_register_never_answered(tmp_path: Path) -> None:
    drawn = list(draw(7, "till-2", ("payer-1",), 3, ("pays",)))
    register = cast("Any", SimpleNamespace(ask=unanswered))
    away = SimpleNamespace(terminal="till-2", run_dir=str(tmp_path))
    terminal = cast("Any", SimpleNamespace(name="till-2", config=away))
    over: list[int] = []
    lane = Lane(terminal, register, drawn, tmp_path / "screens", lambda: over.append(1))
    lane.run()
    assert len(over) == len(lane.problems) == 3


def unanswered(*_: object) -> Order:
    raise RegisterError("no answer")


def hear_nothing(_what: str, _over: int) -> None:
    """Nobody watches."""


@pytest.mark.soak
def test_a_small_round_loses_nothing_and_doubles_nothing(tmp_path: Path) -> None:
    """Of a seed in which no order is left to expire: that would take minutes."""
    plan = Plan(seed=19, database="sqlite", orders=5, looked=0, tills=1, workers=2)
    told: list[int] = []
    played = play(plan, tmp_path / "round", lambda _, over: told.append(over))
    assert sum(told) == plan.orders, "told while it goes on"
    assert played.violations == []
    assert played.orders >= plan.orders
    assert sum(played.ends.values()) == played.orders
    assert sum(played.faults.values()) > 0
    assert played.forged == 0
