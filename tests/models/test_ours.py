"""Networks trained here are what their manifest, cards and an NPU say they are; and how their lines are written."""

import math
from pathlib import Path

import onnx
import pytest

from models.manifest import WEIGHTS_DIR, ModelError, find, load_manifest, read_file, read_network
from models.quantise import WHOLE
from models.train import depth_card
from models.train.depth_card import Card, write_card
from models.train.macs import macs
from models.train.manifest_lines import rewritten

OURS = [name for name, entry in load_manifest().items() if entry.made is not None]
MOST_BYTES, MOST_PARAMETERS, MOST_MACS = 2_000_000, 1_000_000, 60_000_000
"""What issues and design allow each."""


def _parent(name: str) -> onnx.ModelProto:
    entry = find(name)
    assert entry.parent is not None
    return onnx.load_model_from_string(read_file(entry, entry.parent, name))


@pytest.mark.parametrize("name", OURS)
def test_it_is_small_enough(name: str) -> None:
    for file in find(name).files.values():
        assert (WEIGHTS_DIR / file.file).stat().st_size <= MOST_BYTES
    assert sum(math.prod(tensor.dims) for tensor in _parent(name).graph.initializer) < MOST_PARAMETERS
    assert find(name).macs < MOST_MACS


@pytest.mark.parametrize("name", OURS)
def test_it_has_nothing_an_npu_would_hand_back(name: str) -> None:
    assert {node.op_type for node in _parent(name).graph.node} <= set(WHOLE)
    quantised = onnx.load_model_from_string(read_network(name))
    assert {node.op_type for node in quantised.graph.node} <= {*WHOLE, "QuantizeLinear", "DequantizeLinear"}
    scaled = {name for node in quantised.graph.node if node.op_type == "DequantizeLinear" for name in node.output}
    for node in quantised.graph.node:
        if node.op_type in ("Conv", "Add"):
            assert set(node.input) <= scaled, node.name


@pytest.mark.parametrize("name", OURS)
def test_no_file_tells_where_or_when_it_was_made(name: str) -> None:
    for file in (*find(name).files.values(), find(name).parent):
        assert file is not None
        raw = (WEIGHTS_DIR / file.file).read_bytes()
        assert not any(trace in raw for trace in (b"/home/", b"/root/", b"/tmp/", b"/work/"))


@pytest.mark.parametrize("name", list(load_manifest()))
@pytest.mark.usefixtures("models_dir")
def test_the_manifest_counts_its_multiplications_right(name: str) -> None:
    entry = find(name)
    assert macs(onnx.load_model_from_string(read_network(name)), entry.macs_shape) == entry.macs


TEXT = '# why\n[a]\nsize = 1 \nname = "x"\n\n[a.b]\nsize = 1\n'


def test_only_the_value_asked_for_changes() -> None:
    assert rewritten(TEXT, {"a.b": {"size": 7}}) == TEXT.replace("[a.b]\nsize = 1", "[a.b]\nsize = 7")
    assert 'name = "say \\"y\\""' in rewritten(TEXT, {"a": {"name": 'say "y"'}})


@pytest.mark.parametrize("sections", [{"a": {"nane": 1}}, {"b": {"size": 1}}, {"a.b": {"name": 1}}])
def test_a_line_that_is_not_there_is_not_invented(sections: dict[str, dict[str, str | int]]) -> None:
    with pytest.raises(ModelError, match="manifest: has no"):
        rewritten(TEXT, sections)


def _card(monkeypatch: pytest.MonkeyPatch, folder: Path) -> str:
    monkeypatch.setattr(depth_card, "CARDS", folder)
    row = {"bytes": 5.0, "median": 0.99, "worst": 0.98, "tar": 0.5}
    card, curve = write_card(
        Card("0" * 64, 12, 10**6, 10**7, {"seed": 1}),
        [(3.0, 0.2), (1.0, 0.1)],
        {"parent": row, "onnx": row, "tflite": row},
    )
    assert curve.read_bytes().startswith(b"\x89PNG")
    return card.read_text()


def test_a_card_without_measured_error_rates_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    text = _card(monkeypatch, tmp_path)
    assert "None measured yet for these weights." in text
    assert "$" not in text
    for limit in ("Twins", "Children", "Real people: unmeasured"):
        assert limit in text


def test_measured_error_rates_stand_in_the_card(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "depth_identity.json").write_text('[["EER, simulated", "2.9 %"]]')
    assert "| EER, simulated | 2.9 % |" in _card(monkeypatch, tmp_path)


@pytest.mark.parametrize("raw", ["{}x", "[[1]]", "7"])
def test_malformed_error_rates_write_no_card(raw: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "depth_identity.json").write_text(raw)
    with pytest.raises(ModelError, match=r"depth_identity\.json: not rows of"):
        _card(monkeypatch, tmp_path)
