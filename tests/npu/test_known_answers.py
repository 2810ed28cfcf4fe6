"""Every network, on every runtime it has a file for, answers what its float parent answered.

A runtime or machine that changes an answer is seen, and so is one that asks in the wrong order: the counter-examples.
"""

import importlib.util

import numpy as np
import pytest

from drivers.npu import onnx, tflite
from drivers.npu.interface import Network
from models.answers import LENGTH, Answers, agreement, compare, load_answers
from models.manifest import load_manifest, read_network

OPENERS = {"onnx": onnx.open_network, "tflite": tflite.open_network}
COMMITTED = [
    (name, runtime) for name, entry in load_manifest().items() if entry.made is not None for runtime in entry.files
]
BUILT = [
    (name, runtime) for name, entry in load_manifest().items() if entry.source is not None for runtime in entry.files
]


def _open(name: str, runtime: str) -> Network:
    layout = load_manifest()[name].files[runtime].layout
    return OPENERS[runtime](read_network(name, runtime=runtime), name=name, layout=layout)


def _answers_as_its_parent(name: str, runtime: str) -> None:
    precision = load_manifest()[name].files[runtime].precision
    found = agreement(_open(name, runtime), load_answers(name))
    assert found.holds(precision), found


@pytest.mark.parametrize(("name", "runtime"), COMMITTED)
def test_a_network_of_our_own_answers_as_its_float_parent(name: str, runtime: str) -> None:
    _answers_as_its_parent(name, runtime)


@pytest.mark.parametrize(("name", "runtime"), BUILT)
@pytest.mark.usefixtures("models_dir")
def test_a_built_network_answers_as_its_float_parent(name: str, runtime: str) -> None:
    _answers_as_its_parent(name, runtime)


def test_every_network_has_a_runtime_with_a_known_answer() -> None:
    assert {name for name, _ in COMMITTED + BUILT} == set(load_manifest())
    assert ("depth_identity", "tflite") in COMMITTED


class _Twisted(Network):
    """A network whose answer somebody mishandled."""

    inputs, outputs = ("x",), ("y",)

    def __init__(self, answers: Answers, how: str) -> None:
        self._rows, self._how, self._next = answers.outputs.astype(np.float32), how, 0

    def run(self, *inputs: np.ndarray) -> tuple[np.ndarray, ...]:
        row = self._rows[self._next]
        self._next += 1
        return (
            {
                "turned": -row,
                "reversed": row[::-1],
                "unscaled": row * 100,
                "silent": row * 0,
                "broken": row * np.nan,
                "somebody else's": self._rows[self._next % len(self._rows)],
            }[self._how],
        )


@pytest.mark.parametrize("how", ["turned", "reversed", "unscaled", "silent", "broken", "somebody else's"])
@pytest.mark.parametrize("name", list(load_manifest()))
def test_a_mishandled_answer_is_seen(name: str, how: str) -> None:
    answers = load_answers(name)
    assert not agreement(_Twisted(answers, how), answers).holds("int8")


def test_the_right_answer_holds() -> None:
    outputs = load_answers("sface").outputs.astype(np.float32)
    assert compare(outputs, outputs).holds("float32")
    assert not compare(outputs * np.float32(1 + 2 * LENGTH), outputs).holds("float32")


def test_depth_answers_are_of_faces() -> None:
    """Relief in -1..1, slopes of a unit normal, a mask of ones and zeros: what the contract in the manifest says."""
    answers = load_answers("depth_identity")
    tensor = np.concatenate([answers.tensor(index) for index in range(len(answers.inputs))])
    relief, slopes, known = tensor[:, 0], tensor[:, 1:3], tensor[:, 3]
    assert np.abs(relief).max() <= 1
    assert np.hypot(slopes[:, 0], slopes[:, 1]).max() <= 1
    assert set(np.unique(known)) <= {0.0, 1.0}
    assert known.mean() > 0.4


def test_one_tflite_runtime_is_here() -> None:
    assert any(importlib.util.find_spec(module.partition(".")[0]) for module in tflite.MODULES)
