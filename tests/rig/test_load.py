"""Load is measured as it says: every answer an approval in the books, the echo beside it, nothing left out."""

import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from firmware.payment.money import Amount
from hil.backend.shop import PAYER, Shop
from hil.rig import load_command
from hil.rig.commands import rig
from hil.rig.load import field, measure_echoes, measure_payments
from hil.rig.load_callers import LoadError, PayingTerminal
from hil.rig.load_command import ratio_of

TERMINALS, EACH = 3, 2


def test_so_many_terminals_are_answered_so_often_and_every_answer_is_paid(
    tmp_path: Path, mosquitto_installed: None
) -> None:
    with field(tmp_path, "sqlite", 1, TERMINALS) as ground:
        paid = measure_payments(ground, TERMINALS, EACH)
        echoed = measure_echoes(ground, TERMINALS, EACH, 700)
        assert len(ground.backend.payments()) == TERMINALS * EACH
    for measured in (paid, echoed):
        assert (measured.terminals, measured.answers) == (TERMINALS, TERMINALS * EACH)
        assert 0 < min(measured.milliseconds) <= measured.p50_ms <= measured.p99_ms
    assert ratio_of([paid, echoed])[1] <= ratio_of([paid, echoed])[0] <= ratio_of([paid, echoed])[2]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--terminals", "a,b"], "expected numbers"), (["--terminals", "0"], "at least one"),
        (["--out", "nowhere/load.json"], "No such file"),
    ],
)  # fmt: skip
def test_what_cannot_be_measured_or_kept_is_said_before_anything_is_started(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, arguments: list[str], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(load_command, "field", lambda *_: pytest.fail("it began to measure"))
    ran = CliRunner().invoke(rig, ["load", *arguments])
    assert ran.exit_code == 2
    assert said in ran.output


def test_an_answer_that_is_no_approval_ends_the_measurement(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    shop.time = int(time.time())
    intent = shop.backend.issue_intent("till-1", Amount(1250, "EUR"), PAYER)[1]
    caller = PayingTerminal(shop.till, bytes(16), [intent])
    question = caller.ask()
    assert question is not None
    with pytest.raises(LoadError, match="rejected mandate"):
        caller.answered(shop.backend.handle("till-1", question))
    assert caller.ask() is None, "no more intents"
    shop.close()
