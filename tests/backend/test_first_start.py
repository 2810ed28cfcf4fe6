"""The page's own files and commands, in its order: a backend that was never there before could begin with them."""

import re
import shlex
import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock

import msgspec
import pytest
from typer.testing import CliRunner

from drivers.secure_element.request import certificate_request
from firmware.liveness.verdict import GATES
from firmware.runtime.config import load_profile
from hil.backend import command, digests
from hil.backend.command import backend
from hil.backend.installation import load_service_config
from hil.backend.policy import Policy
from hil.backend.simulator import new_element
from hil.rig.brokers import free_port
from tests.absent import absent
from tests.backend.test_production import STRICT

PAGE = Path(__file__).parents[2] / "docs" / "backend.md"
KINDS = ["demonstration", "production"]


def block(language: str, title: str) -> str:
    """The block of the page that begins with this title."""
    written = rf"^```{language}\n# {re.escape(title)}\n(.*?)^```$"
    (found,) = re.findall(written, PAGE.read_text(), re.MULTILINE | re.DOTALL)
    return str(found)


@pytest.mark.parametrize("kind", KINDS)
def test_the_commands_of_the_page_begin_a_backend_with_the_file_of_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    if shutil.which("openssl") is None:
        absent("openssl is not installed: apt-get install openssl")
    monkeypatch.chdir(tmp_path)
    written = block("toml", f"backend.toml, {kind}").replace("port = 8080", f"port = {free_port()}")
    Path("backend.toml").write_text(written)
    monkeypatch.setattr(command, "supervise", supervised := Mock())
    script = ""
    for line in block("sh", f"first start, {kind}").splitlines():
        words = shlex.split(line, comments=True) if line.startswith("tessera") else []
        if words[:3] == ["tessera", "element", "request"]:
            Path(words[-1]).write_bytes(certificate_request(new_element(), "till-1"))
        elif words:
            subprocess.run(["bash", "-euc", script], check=True, capture_output=True)
            script = ""
            said = CliRunner().invoke(backend, words[2:], catch_exceptions=False)
            assert said.exit_code == 0, said.output
        else:
            script += line + "\n"
    supervised.assert_called_once()


def test_the_production_file_demands_every_gate_there_is(tmp_path: Path) -> None:
    (tmp_path / "backend.toml").write_text(block("toml", "backend.toml, production"))
    assert load_service_config(tmp_path / "backend.toml").policy.gates == GATES


def test_the_digests_of_a_terminal_are_lines_of_a_policy(monkeypatch: pytest.MonkeyPatch, models_dir: Path) -> None:
    terminal = SimpleNamespace(site_calibration=None, models_dir=str(models_dir), npu=None)
    profile = load_profile("payment")
    monkeypatch.setattr(digests, "load_config", lambda _: (terminal, profile))
    said = CliRunner().invoke(backend, ["digests", "--config", "terminal.toml"], catch_exceptions=False).output
    named = msgspec.toml.decode(said, type=dict[str, tuple[str]])
    policy = msgspec.structs.replace(STRICT, **named)
    assert policy.policies == (profile.digest.hex(),)
    assert msgspec.convert(msgspec.to_builtins(policy), Policy) == policy
    assert {len(digest) for (digest,) in named.values()} == {64}
    assert len(set(named.values())) == 3
