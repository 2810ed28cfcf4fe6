"""Our TFLite networks map whole onto an NPU, says its vendor's compiler; and what does not is seen."""

import shutil
import sys
from pathlib import Path

import pytest

from models import vela
from models.manifest import ModelError, load_manifest, read_network
from models.vela import NPUS, U65, Estimate, compile_for, estimate, read_report

OURS = [name for name, entry in load_manifest().items() if entry.made is not None]


@pytest.mark.parametrize("npu", NPUS, ids=lambda npu: npu.accelerator)
@pytest.mark.parametrize("name", OURS)
def test_a_network_of_our_own_leaves_the_cpu_nothing(name: str, npu: vela.Npu) -> None:
    found = estimate(name, npu)
    assert found is not None
    assert found.cpu_operators == ()
    # every multiplication of the network is the NPU's
    assert found.macs == load_manifest()[name].macs
    assert 0 < found.inference_ms < 10
    assert 0 < found.sram_kib < 384


def test_a_network_without_a_tflite_file_runs_on_the_cpu() -> None:
    assert estimate("sface", U65) is None


def test_what_vela_cannot_read_is_a_model_error() -> None:
    with pytest.raises(ModelError, match=r"vela: .*TfLite"):
        compile_for(read_network(OURS[0], runtime="tflite")[:1000], U65)


def test_without_vela_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    monkeypatch.setattr(shutil, "which", lambda program: None)
    with pytest.raises(ModelError, match=r"vela is not installed: pip install '\.\[dev\]'"):
        compile_for(b"", U65)


def test_an_operator_left_to_the_cpu_is_named(tmp_path: Path) -> None:
    (tmp_path / "n_summary_Ethos_U65_High_End.csv").write_text(
        "inference_time,sram_memory_used,nn_macs\n0.0012,169.4,43956288\n"
    )
    (tmp_path / "n_per-layer.csv").write_text(
        "Original Operator,NNG Operator,Target\nConv2D,Conv2D,NPU\nAbs,Passthrough,CPU\nAbs,Passthrough,CPU\n"
    )
    assert read_report(tmp_path) == Estimate(1.2, 169.4, 43956288, ("Abs",))
