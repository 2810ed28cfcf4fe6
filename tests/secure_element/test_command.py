"""`tessera element`: a terminal's keys are made, shown, and asked a certificate for."""

from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from drivers.secure_element.interface import SecureElementError
from drivers.secure_element.pkcs11 import open_secure_element
from firmware.commands.element import element as commands
from tests.commands.camera_rig import write_config
from tests.secure_element.softhsm import SoftToken, soft_token
from tests.secure_element.test_request import read


def run(*arguments: object) -> Result:
    """Run `tessera element` with these arguments; an error comes out as it is."""
    app = typer.Typer()
    app.add_typer(commands, name="element")
    result = CliRunner().invoke(app, ["element", *map(str, arguments)], env={"COLUMNS": "160"})
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def configured(folder: Path, backend: str, options: dict[str, str | int | float | bool]) -> Path:
    """A terminal's configuration with this secure element."""
    path = write_config(folder)
    inline = ", ".join(f'{key} = "{value}"' for key, value in options.items())
    path.write_text(
        path.read_text().replace('backend = "software"', f'backend = "{backend}"\noptions = {{ {inline} }}')
    )
    return path


def test_a_token_is_provisioned_shown_and_asked_for_requests(tmp_path: Path) -> None:
    with soft_token(tmp_path) as token:
        config = configured(tmp_path, "pkcs11", token.options)
        made = run("create", "--config", config).output
        shown = run("show", "--config", config).output
        assert shown.strip() in made
        assert "nothing in hardware" in shown
        for name, arguments in (("now", ()), ("next", ("--next",))):
            assert run("request", *arguments, "--config", config, "--out", tmp_path / name).exit_code == 0
        now, following = read((tmp_path / "now").read_bytes()), read((tmp_path / "next").read_bytes())
        _is_in_force(token, now[1], following[1])
        with pytest.raises(SecureElementError, match="not replaced"):
            run("create", "--config", config)


def _is_in_force(token: SoftToken, now: bytes, following: bytes) -> None:
    opened = open_secure_element(token.options)
    assert opened.public_key == now
    assert opened.prepare_identity() == following
    opened.close()


def test_a_key_file_is_made_under_a_passphrase_that_is_there(tmp_path: Path) -> None:
    passphrase = tmp_path / "passphrase"
    config = configured(tmp_path, "software", {"path": str(tmp_path / "key"), "passphrase_file": str(passphrase)})
    with pytest.raises(SecureElementError, match="cannot be read"):
        run("create", "--config", config)
    passphrase.touch(0o600)
    passphrase.write_text("a passphrase of the test\n")
    assert run("create", "--config", config).exit_code == 0
    assert run("show", "--config", config).exit_code == 0


def test_a_running_terminals_token_is_left_to_it(tmp_path: Path) -> None:
    with soft_token(tmp_path) as token:
        config = configured(tmp_path, "pkcs11", token.options)
        run("create", "--config", config)
        owner = open_secure_element(token.options)
        with pytest.raises(SecureElementError, match="another process owns"):
            run("show", "--config", config)
        owner.close()


def test_a_request_that_cannot_be_written_says_where(tmp_path: Path) -> None:
    with soft_token(tmp_path) as token:
        config = configured(tmp_path, "pkcs11", token.options)
        run("create", "--config", config)
        with pytest.raises(SecureElementError, match="cannot be written"):
            run("request", "--config", config, "--out", tmp_path / "no" / "folder")
