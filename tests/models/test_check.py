"""`tessera models`: what is listed, what is checked, and what a wrong file ends in."""

import re
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from models import answers, check, manifest
from models.answers import Answers, load_answers, save_answers
from models.check import examine
from models.commands import models
from models.manifest import ModelError, load_manifest

RUNNER = CliRunner(env={"COLUMNS": "240"})


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check, "RUNS", 1)


def test_every_file_of_every_network_is_listed_with_its_licence() -> None:
    shown = RUNNER.invoke(models, ["list"])
    assert shown.exit_code == 0
    for name, entry in load_manifest().items():
        for file in entry.files.values():
            assert name in shown.output
            assert file.file in shown.output
        assert entry.licence in shown.output


def test_everything_is_as_it_should_be(models_dir: Path) -> None:
    shown = RUNNER.invoke(models, ["check", "--dir", str(models_dir)])
    assert shown.exit_code == 0, shown.output
    assert "!!" not in shown.output
    for entry in load_manifest().values():
        for file in entry.files.values():
            assert file.file in shown.output


def test_a_network_that_is_not_built_fails_the_check(tmp_path: Path) -> None:
    shown = RUNNER.invoke(models, ["check", "--dir", str(tmp_path), "--runtime", "onnx"])
    assert shown.exit_code == 1
    # wherever the table breaks its lines
    assert "python-mmodels.build" in re.sub(r"[\s│]", "", shown.output)


def test_a_tampered_file_of_our_own_fails_the_check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = load_manifest()["depth_identity"]
    for file in (*entry.files.values(), entry.parent):
        assert file is not None
        raw = bytearray((manifest.WEIGHTS_DIR / file.file).read_bytes())
        raw[-1] ^= 1
        (tmp_path / file.file).write_bytes(raw)
    monkeypatch.setattr(manifest, "WEIGHTS_DIR", tmp_path)
    found = [one for one in examine(runtimes=("onnx", "tflite")) if one.network == "depth_identity"]
    assert len(found) == 3
    assert not any(one.good for one in found)
    assert all("is not the network in the manifest" in one.text for one in found)


def test_a_network_that_answers_otherwise_fails_the_check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    right = load_answers("depth_identity")
    monkeypatch.setattr(answers, "ANSWERS_DIR", tmp_path)
    save_answers("depth_identity", Answers(right.inputs, right.unit, 1, -right.outputs, right.people))
    found = [one for one in examine() if one.network == "depth_identity" and one.runtime == "onnx"]
    assert [one.good for one in found] == [False]
    assert found[0].agreement is not None
    assert found[0].agreement.worst < -0.97
    assert "answers otherwise" in found[0].text


def test_a_delegate_that_is_not_there_fails_the_check(models_dir: Path) -> None:
    asked = ["check", "--dir", str(models_dir), "--runtime", "tflite", "--delegate", "/opt/none.so"]
    shown = RUNNER.invoke(models, asked)
    assert shown.exit_code == 1
    assert "/opt/none.so is not there" in shown.output


def test_answers_survive_their_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "ANSWERS_DIR", tmp_path)
    kept = Answers(np.arange(12, dtype=np.int16).reshape(2, 1, 2, 3), 0.5, 2, np.ones((2, 4), np.float32), "nobody")
    first = save_answers("x", kept).read_bytes()
    again = load_answers("x")
    np.testing.assert_array_equal(again.tensor(1), np.repeat(np.arange(6, 12).reshape(1, 1, 2, 3) / 2, 2, axis=1))
    assert again.tensor(1).dtype == np.float32
    assert (again.unit, again.people) == (0.5, "nobody")
    assert save_answers("x", kept).read_bytes() == first


@pytest.mark.parametrize("raw", [None, b"", b"PK\x03\x04 damaged"])
def test_answers_that_cannot_be_read_are_a_model_error(
    raw: bytes | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answers, "ANSWERS_DIR", tmp_path)
    if raw is not None:
        (tmp_path / "x.npz").write_bytes(raw)
    with pytest.raises(ModelError, match=r"x\.npz"):
        load_answers("x")
