"""The liveness network's card says what was measured, and says so where nothing was; its rates mean what they say."""

from pathlib import Path

import msgspec
import numpy as np
import pytest

from models.manifest import ModelError
from models.train import liveness_card, liveness_rates
from models.train.liveness_card import FileRow, write_card
from models.train.liveness_faces import GROUPS, KINDS, Stored, group_of
from models.train.liveness_rates import Rates, Row, left_out_table, rows

ROW = Row(faces=12, median=-1.0, passed=0.25, ranked=0.9)
PLAN = {"people": 5, "tune_people": 2, "batch": 4, "decay": 0.1, "rate": 0.2, "smoothing": 0.05, "seed": 1}


def _card(monkeypatch: pytest.MonkeyPatch, folder: Path) -> str:
    monkeypatch.setattr(liveness_card, "CARDS", folder)
    for module in (liveness_card, liveness_rates):
        monkeypatch.setattr(module, "RATES", folder / "liveness.json")
    file = FileRow(bytes=10, median=0.99, worst=0.98, off=0.1, rate=0.1)
    card, _ = write_card(
        digest="0" * 64, plan=PLAN, faces=40, parameters=10**5, macs=10**7, history=[(2.0, 0.3), (1.0, 0.2)],
        files={"parent": file, "onnx": file, "tflite": file}, rates={"mannequin": ROW},
    )  # fmt: skip
    return card.read_text()


def test_a_card_says_that_species_left_out_were_not_measured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    text = _card(monkeypatch, tmp_path)
    assert "Not measured yet for these weights." in text
    assert "$" not in text
    assert "simulated" in text
    assert "| mannequin | 12 | -1.0 | 25 % | 0.900 |" in text


def test_species_left_out_stand_in_the_card(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    other = msgspec.structs.replace(ROW, passed=0.5, ranked=0.6)
    rates = Rates("SIMULATED", 5, 3, {"rigid_mask": ROW}, {"rigid_mask": other})
    (tmp_path / "liveness.json").write_bytes(msgspec.json.encode(rates))
    assert "| rigid mask | 12 | 25 % | 0.900 | 50 % | 0.600 |" in left_out_table(rates)
    assert left_out_table(rates) in _card(monkeypatch, tmp_path)


@pytest.mark.parametrize("raw", ["{}", "7", "x"])
def test_malformed_rates_write_no_card(raw: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "liveness.json").write_text(raw)
    with pytest.raises(ModelError, match=r"liveness\.json: not what"):
        _card(monkeypatch, tmp_path)


def test_the_rates_that_are_shipped_are_of_every_group_and_simulated() -> None:
    rates = liveness_rates.load_rates()
    assert rates.about.startswith("SIMULATED")
    assert set(rates.left_out) == set(GROUPS) - {"bona fide"}
    assert set(rates.seen) == set(GROUPS)


def test_a_group_is_ranked_by_how_often_life_lies_above_it() -> None:
    kind = np.array([0] * 50 + [KINDS.index("mannequin")] * 10 + [KINDS.index("silicone_mask")] * 10)
    values = np.concatenate([np.linspace(1, 2, 50), np.full(10, -3.0), np.linspace(1, 2, 10)])
    none = np.zeros((0, 0), np.int16)
    found = rows(values, Stored(kind, none, none, none, none.astype(np.uint8)))
    assert found["mannequin"].ranked == 1
    assert found["mannequin"].passed == 0
    assert found["silicone_mask"].ranked == pytest.approx(0.5, abs=0.02)
    assert found["silicone_mask"].passed >= 0.9
    assert list(GROUPS)[group_of(kind)[-1]] == "silicone_mask"
