"""The certificate of a whole terminal's link, by its device identity's word and the backend's: renewed, and by hand."""

import datetime
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography import x509

from hil.rig.brokers import mosquitto
from hil.rig.certificates import Authority
from hil.rig.site import STAFF, TERMINAL, Site

pytestmark = [pytest.mark.soak, pytest.mark.usefixtures("mosquitto_installed")]
HOUR = datetime.timedelta(hours=1)


def now() -> datetime.datetime:
    return datetime.datetime.now(datetime.timezone.utc)


def tessera(site: Site, *arguments: str) -> None:
    """A command of the technician's or of whoever runs the backend; it ends well."""
    subprocess.run([sys.executable, "-m", "firmware.cli", *arguments], check=True, cwd=site.folder)


def lives_long(site: Site) -> bool:
    """Whether the certificate in use is good for another hour."""
    assert site.config.link.tls is not None
    used = x509.load_pem_x509_certificate(Path(site.config.link.tls.certificate).read_bytes())
    return used.not_valid_after_utc > now() + HOUR


def by_hand(site: Site) -> None:
    """Two visits of a technician, and the backend's word between them: the link is connected."""
    request, grant = str(site.folder / "request"), str(site.folder / "grant")
    who = ("--as", STAFF["technician"], "--passphrase-file", str(site.passphrase_file("technician")))
    me = ("--config", str(site.config_path), *who)
    tessera(site, "link", "request", request, *me)
    backend = str(site.folder / "backend.toml")
    tessera(site, "backend", "certify", TERMINAL, "--request", request, "--out", grant, "--config", backend)
    tessera(site, "link", "install", grant, *me)
    site.wait_for("the link", lambda: site.status().link == "connected")
    assert lives_long(site)


def test_a_new_terminal_gets_its_first_certificate_by_hand(tmp_path: Path) -> None:
    """It has heard no beacon yet, and knows of the time only what its keys say."""
    authority = Authority(tmp_path / "ca")
    with mosquitto(tmp_path / "broker", authority) as broker:
        site = Site.lay_out(tmp_path / "site", broker, authority, "virtual", {}, "rig")
        assert site.config.link.tls is not None
        Path(site.config.link.tls.certificate).unlink()
        Path(site.config.link.tls.key).unlink()
        try:
            site.start_backend()
            site.start_terminal(awaited=("core",))
            site.wait_for("the link", lambda: "tessera link request" in site.status().link)
            by_hand(site)
        finally:
            site.stop_terminal()
            site.stop_backend()


def test_ended_certificate_is_carried_by_hand_and_a_short_one_renews_itself(tmp_path: Path) -> None:
    with Site.make(tmp_path / "site", broker="mosquitto") as site:
        assert site.authority is not None
        site.authority.issue_client(TERMINAL, now() - HOUR)
        site.wait_for("the link", lambda: "tessera link request" in site.status().link)
        by_hand(site)
        site.authority.issue_client(TERMINAL, now() + HOUR / 30)
        site.wait_for("another certificate", lambda: lives_long(site) and site.status().link == "connected")
