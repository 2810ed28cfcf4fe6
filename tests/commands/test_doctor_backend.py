"""`tessera doctor` on whose keys are believed: which set is in hand, and what is wrong with it."""

import time
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from firmware.commands.doctor_backend import keys_in_hand
from firmware.core.parts import KEY_SET
from firmware.payment.errors import PaymentError
from firmware.runtime.config import Config, load_profile
from tests.payment.rooted import DAY_S, Rooted


def said(rooted: Rooted, profile: str = "demo") -> str:
    backend = SimpleNamespace(root=str(rooted.folder / "root.json"), keys=str(rooted.folder / "first.cose"))
    config = SimpleNamespace(backend=backend, state_dir=str(rooted.folder))
    return keys_in_hand(cast("Config", config), load_profile(profile))


def test_the_newest_set_in_hand_is_told(tmp_path: Path) -> None:
    rooted = Rooted(tmp_path)
    assert "version 1 for demo" in said(rooted)
    (tmp_path / KEY_SET).write_bytes(rooted.set_of(7))
    assert "version 7 for demo" in said(rooted)


def test_a_set_that_has_ended_is_a_fault(tmp_path: Path) -> None:
    rooted = Rooted(tmp_path)
    (tmp_path / "first.cose").write_bytes(rooted.set_of(1, now=int(time.time()) - 2 * DAY_S, life_s=DAY_S))
    with pytest.raises(PaymentError, match="version 1 ended on"):
        said(rooted)


def test_keys_of_the_demonstration_are_a_fault_in_production(tmp_path: Path) -> None:
    with pytest.raises(PaymentError, match="is not for production"):
        said(Rooted(tmp_path), "payment")
