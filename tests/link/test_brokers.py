"""The rig's brokers and certificates are what they claim to be."""

import datetime
import ssl
import stat
import subprocess
from pathlib import Path

import pytest
from cryptography import x509

from hil.rig import brokers
from hil.rig.certificates import LIFETIME, Authority


def test_missing_mosquitto_names_the_debian_package(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda *_args, **_options: None)
    with (
        pytest.raises(brokers.BrokerError, match="apt-get install mosquitto"),
        brokers.mosquitto(folder, Authority(folder)),
    ):
        pass


def test_broker_that_cannot_start_says_where_to_look(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "mosquitto.conf.wrong").write_text("no_such_setting true\n")
    monkeypatch.setattr(brokers, "_MOSQUITTO_CONF", folder / "mosquitto.conf.wrong")
    with pytest.raises(brokers.BrokerError, match=f"status .*{folder}"), brokers.mosquitto(folder, Authority(folder)):
        pass


@pytest.mark.parametrize("kind", ["mosquitto", "embedded"])
def test_broker_listens_on_this_machine_only_and_leaves_nothing_running(
    folder: Path, kind: str, request: pytest.FixtureRequest
) -> None:
    if kind == "mosquitto":
        request.getfixturevalue("mosquitto_installed")
    running = brokers.mosquitto(folder, Authority(folder)) if kind == "mosquitto" else brokers.embedded(folder)
    with running as broker:
        pid = broker.pid
        sockets = Path("/proc/net/tcp").read_text() + Path("/proc/net/tcp6").read_text()
        # 0100007F is 127.0.0.1, state 0A is LISTEN (proc_net_tcp)
        listening = [line.split()[1] for line in sockets.splitlines() if line.split()[3] == "0A"]
        assert [address for address in listening if address.endswith(f":{broker.port:04X}")] == [
            f"0100007F:{broker.port:04X}"
        ]
    assert not Path(f"/proc/{pid}").exists()


def test_certificates_are_short_lived_narrow_and_their_keys_private(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    server, client = authority.issue_server(), authority.issue_client("t-1")
    for identity in (server, client):
        assert stat.S_IMODE(identity.key.stat().st_mode) == 0o600
        certificate = x509.load_pem_x509_certificate(identity.certificate.read_bytes())
        assert certificate.not_valid_after_utc - certificate.not_valid_before_utc == LIFETIME
        assert certificate.not_valid_before_utc < datetime.datetime.now(datetime.timezone.utc)
    subject = x509.load_pem_x509_certificate(client.certificate.read_bytes()).subject
    assert subject.rfc4514_string() == "CN=t-1"
    # openssl's own judgement, purpose by purpose
    for identity, purpose, valid in (
        (server, "sslserver", True),
        (server, "sslclient", False),
        (client, "sslclient", True),
        (client, "sslserver", False),
    ):
        command = (
            "openssl",
            "verify",
            "-x509_strict",
            "-purpose",
            purpose,
            "-CAfile",
            identity.ca,
            identity.certificate,
        )
        assert (subprocess.run(command, capture_output=True, check=False).returncode == 0) == valid


def test_context_demands_a_server_certificate(tmp_path: Path) -> None:
    context = brokers.client_context(Authority(tmp_path).issue_client("t-1"))
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
