"""A whole terminal on a PKCS#11 token: it signs, exchanges its identity, and serves nobody once the token is gone.

What it signs here are declines: nobody is enrolled.
"""

import re
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from cryptography.x509 import load_pem_x509_csr

from drivers.secure_element.pkcs11 import open_secure_element, provision
from firmware.core.client import ask
from firmware.core.errors import TerminalError
from firmware.payment.trust import key_id
from firmware.runtime.messages import Rotate
from hil.backend.keys import registration, save_registrations
from hil.rig.site import MERCHANT, TERMINAL, Site
from tests.secure_element.softhsm import SoftToken, soft_token
from tests.secure_element.test_command import run

pytestmark = pytest.mark.long


@pytest.fixture
def token(tmp_path: Path) -> Iterator[SoftToken]:
    with soft_token(tmp_path) as token:
        yield token


@pytest.fixture
def site(tmp_path: Path, models_dir: Path, token: SoftToken) -> Iterator[Site]:
    """A site whose terminal was given a token in the place of its key file."""
    with ExitStack() as stack:
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(Site, "start_terminal", lambda _: None)
            site = stack.enter_context(Site.make(tmp_path / "site"))
        with closing(provision(token.options)) as element:
            _register(site, element.public_key)
        table = "".join(f'{name} = "{value}"\n' for name, value in token.options.items())
        text = re.sub(r"(?m)^\[secure_element\]\n.*\n.*\n", "", site.config_path.read_text())
        site.config_path.write_text(f'{text}[secure_element]\nbackend = "pkcs11"\n[secure_element.options]\n{table}')
        site.start_terminal()
        yield site


def _register(site: Site, public_key: bytes) -> None:
    site.stop_backend()
    save_registrations(site.folder / "terminals.json", [registration(TERMINAL, MERCHANT, "rig", public_key)])
    site.start_backend()


def _declined(site: Site) -> bool:
    """Whether the backend takes the terminal's signature under a decline."""
    asked = site.request("2.00", "EUR", "payer-1")
    site.wait_for("the decline", lambda: site.state(asked)[0] != "open", 15)
    return site.state(asked)[0] == "declined"


def test_a_terminal_exchanges_its_identity_and_ends_when_its_token_is_pulled_out(
    site: Site, token: SoftToken, tmp_path: Path
) -> None:
    first = site.public_key
    assert _declined(site)

    with site.control("technician") as core, pytest.raises(TerminalError, match="no identity waits"):
        ask(core, Rotate(what="identity"), 10)
    site.stop_terminal()
    run("request", "--next", "--config", site.config_path, "--out", tmp_path / "next.csr")
    site.start_terminal()
    assert site.public_key == first
    following = load_pem_x509_csr((tmp_path / "next.csr").read_bytes()).public_key()
    with site.control("technician") as core:
        assert key_id(following).hex() in ask(core, Rotate(what="identity"), 10).detail  # type: ignore[arg-type]
    assert site.public_keys[0] == first != site.public_key
    _register(site, site.public_key)
    assert _declined(site)

    away = token.folder.rename(tmp_path / "away")
    site.wait_for("the terminal's word", lambda: site.status().session.startswith("out of service: "), 15)
    assert "answers no more" in site.status().session
    refused = site.request("3.00", "EUR", "payer-1")
    assert site.state(refused)[0] == "open"
    site.stop_terminal()
    away.rename(token.folder)
    with closing(open_secure_element(token.options)) as element:
        assert element.public_key == site.public_key
