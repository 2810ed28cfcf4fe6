import os
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
from typer.testing import CliRunner

from drivers.camera import Emitter
from firmware.runtime.config import EmitterConfig
from firmware.runtime.lights import Lights
from hil.emitter.light import read_light
from hil.rig.commands import rig


def test_the_board_it_serves_is_lit_as_configured(tmp_path: Path) -> None:
    arguments = ["rig", "emitter", "--folder", str(tmp_path), "--fault", "dots_scale=0.2"]
    command = [sys.executable, "-m", "firmware.cli", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as serving:
        assert serving.stdout is not None
        told = "".join(serving.stdout.readline() for _ in range(6))
        assert "simulated" in told
        table = msgspec.toml.decode(told)["emitter"]
        lights = Lights(msgspec.convert(table, EmitterConfig))
        lights.on([Emitter(flood=1.0, dots=1.0)])
        light = read_light(tmp_path / "light.json")
        assert (light.armed, light.dots_scale) == (True, 0.2)
        lights.close()
        serving.send_signal(signal.SIGTERM)
        assert serving.wait(20) == os.EX_OK
    assert not (tmp_path / "emitter").exists()


def test_an_unknown_fault_is_named(tmp_path: Path) -> None:
    result = CliRunner().invoke(rig, ["emitter", "--folder", str(tmp_path), "--fault", "noize=1"])
    assert result.exit_code == 2
    assert "noize" in result.output
