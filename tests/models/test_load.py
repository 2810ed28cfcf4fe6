"""What a terminal's configuration says of its NPU decides where its networks run, and nothing else does."""

import re
from pathlib import Path

import pytest

from drivers.npu.interface import NetworkError
from drivers.npu.onnx import OnnxNetwork
from drivers.npu.tflite import TfliteNetwork
from drivers.plugins import PluginError
from firmware.core.parts import open_analyst
from firmware.runtime.config import ConfigError, NpuConfig, load_config, load_profile
from firmware.vision.networks import DEPTH_EMBEDDER, DETECTOR, EMBEDDER, load_network
from tests.runtime.test_config import GOOD


def test_a_network_runs_where_it_was_told_to(models_dir: Path) -> None:
    assert isinstance(load_network(DEPTH_EMBEDDER, models_dir), OnnxNetwork)
    assert isinstance(load_network(DEPTH_EMBEDDER, models_dir, runtime="tflite"), TfliteNetwork)


@pytest.mark.parametrize("name", [DETECTOR, EMBEDDER])
def test_a_network_without_a_file_for_the_npu_stays_on_the_cpu(name: str, models_dir: Path) -> None:
    assert isinstance(load_network(name, models_dir, runtime="tflite"), OnnxNetwork)


@pytest.mark.parametrize("name", [DETECTOR, EMBEDDER, DEPTH_EMBEDDER])
def test_a_runtime_that_is_not_installed_is_an_error_for_every_network(name: str, models_dir: Path) -> None:
    with pytest.raises(PluginError, match=r"no tessera\.npu plug-in named 'tflight'; installed: onnx, tflite"):
        load_network(name, models_dir, runtime="tflight")


def test_a_whole_terminal_starts_on_tflite(models_dir: Path) -> None:
    open_analyst(load_profile("demo"), models_dir, npu=NpuConfig(runtime="tflite"))


def test_a_terminal_whose_delegate_is_not_there_does_not_start(models_dir: Path) -> None:
    npu = NpuConfig(runtime="tflite", options={"delegate": "/opt/none.so"})
    with pytest.raises(NetworkError, match=re.escape("network depth_identity: delegate /opt/none.so is not there")):
        open_analyst(load_profile("demo"), models_dir, npu=npu)


def test_options_for_a_runtime_that_has_none_are_refused(models_dir: Path) -> None:
    with pytest.raises(NetworkError, match="onnxruntime takes no options here, not delegate"):
        load_network(DETECTOR, models_dir, options={"delegate": "/opt/none.so"})


def test_the_configuration_names_runtime_and_options(tmp_path: Path) -> None:
    path = tmp_path / "terminal.toml"
    path.write_text(GOOD + '[npu]\nruntime = "tflite"\noptions = { delegate = "/usr/lib/libx.so" }\n')
    assert load_config(path)[0].npu == NpuConfig(runtime="tflite", options={"delegate": "/usr/lib/libx.so"})
    path.write_text(GOOD)
    assert load_config(path)[0].npu == NpuConfig(runtime="onnx")
    path.write_text(GOOD + '[npu]\nruntme = "tflite"\n')
    with pytest.raises(ConfigError, match=r"runtme.*\$\.npu"):
        load_config(path)
