"""SoftHSM2 as the PKCS#11 token of tests: real PKCS#11, keys in files of a temporary folder.

The library reads where its tokens lie once in a process, so there is one folder for all tests of a process. To see a
token that was made since, it is initialised anew, which ends open sessions: make tokens before opening any.
"""

import atexit
import os
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pkcs11

from tests.absent import absent

MODULE = Path("/usr/lib/softhsm/libsofthsm2.so")


@dataclass(frozen=True)
class SoftToken:
    """An initialised token.

    Attributes:
        label: its label.
        pin_file: its user PIN.
        folder: where SoftHSM keeps it; away, the token is pulled out.
    """

    label: str
    pin_file: Path
    folder: Path

    @property
    def options(self) -> dict[str, str | int | float | bool]:
        """For `[secure_element] options`."""
        return {"module": str(MODULE), "token": self.label, "pin_file": str(self.pin_file)}


def configuration() -> Path:
    """The value of `SOFTHSM2_CONF`, set in this process: children inherit it."""
    return _home() / "softhsm2.conf"


@contextmanager
def soft_token(folder: Path, pin: str = "1234 and more") -> Iterator[SoftToken]:
    """A new token; its PIN file goes into `folder`. No session may be open in this process at either end."""
    if not MODULE.exists():
        absent(f"{MODULE} is not there: apt-get install softhsm2")
    tokens = _home() / "tokens"
    before = set(tokens.iterdir())
    label = f"till-{secrets.token_hex(4)}"
    made = ["softhsm2-util", "--init-token", "--free", "--label", label, "--pin", pin, "--so-pin", "of the officer"]
    subprocess.run(made, check=True, capture_output=True, timeout=60)
    (token,) = set(tokens.iterdir()) - before
    reload_tokens()
    pin_file = folder / f"{label}.pin"
    pin_file.touch(0o600)
    pin_file.write_text(pin + "\n")
    yield SoftToken(label, pin_file, token)
    shutil.rmtree(token)


def reload_tokens() -> None:
    """What a new process would see. Ends the sessions of this one."""
    pkcs11.lib(str(MODULE)).reinitialize()


@cache
def _home() -> Path:
    home = Path(tempfile.mkdtemp(prefix="tessera-softhsm-"))
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    (home / "tokens").mkdir()
    (home / "softhsm2.conf").write_text(
        f"directories.tokendir = {home / 'tokens'}\nobjectstore.backend = file\nlog.level = ERROR\n"
    )
    os.environ["SOFTHSM2_CONF"] = str(home / "softhsm2.conf")
    return home
