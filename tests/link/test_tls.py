"""What a broker must show before anything is said to it, whatever the terminal's clock thinks."""

import datetime
import socket
import ssl
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from firmware.link.broker import Broker
from firmware.link.tls import MAX_PACKET_BYTES, LinkError, client_context
from firmware.runtime.config import LinkConfig, TlsConfig
from hil.rig.certificates import Authority, Identity
from tests.link.ends import WAIT_S

YEAR_S = 365 * 86_400
CONNACK = bytes([0x20, 3, 0, 0, 0])


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "ca")


def tls(authority: Authority) -> TlsConfig:
    ours = authority.issue_client("t-1")
    return TlsConfig(ca=str(ours.ca), crl=str(ours.crl), certificate=str(ours.certificate), key=str(ours.key))


def server_context(identity: Identity) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(identity.certificate, identity.key)
    context.load_verify_locations(identity.ca)
    context.verify_mode = ssl.CERT_REQUIRED
    return context


class Server:
    """Somebody in the broker's place, for one connection."""

    def __init__(self, context: ssl.SSLContext, serve: Callable[[ssl.SSLSocket], object]) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._context, self._serve = context, serve
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        connection, _ = self._listener.accept()
        connection.settimeout(WAIT_S)
        try:
            with self._context.wrap_socket(connection, server_side=True) as secured:
                self._serve(secured)
        except OSError:
            connection.close()

    def __enter__(self) -> "Server":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join(WAIT_S)
        self._listener.close()


def outcome(config: TlsConfig, server: ssl.SSLContext, now: Callable[[], float] = time.time) -> str:
    """What it comes to: `1.3` with what was heard in the first ten bytes, or why not."""
    heard: list[bytes] = []
    with Server(server, lambda secured: heard.append(secured.recv(10))) as there:
        plain = socket.create_connection(("127.0.0.1", there.port), WAIT_S)
        try:
            with client_context(config, now).wrap_socket(plain, server_hostname="127.0.0.1") as secured:
                secured.sendall(b"hello")
                told = str(secured.version())
        except OSError as error:
            plain.close()
            told = str(error)
    assert heard in ([b"hello"], [b""], [])
    assert (heard == [b"hello"]) == (told == "TLSv1.3"), "something was said to a stranger"
    return told


def test_server_of_the_pinned_authority_is_spoken_to_over_tls_1_3(authority: Authority) -> None:
    assert outcome(tls(authority), server_context(authority.issue_server())) == "TLSv1.3"


def test_certificate_that_ended_before_what_has_surely_passed_is_refused(authority: Authority) -> None:
    floor = time.time() + YEAR_S
    told = outcome(tls(authority), server_context(authority.issue_server()), lambda: floor)
    assert "the broker's certificate ended" in told


def test_certificate_that_has_ended_by_our_own_clock_is_refused(authority: Authority) -> None:
    ended = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(seconds=1)
    assert "the broker's certificate ended" in outcome(tls(authority), server_context(authority.issue_server(ended)))


def test_terminal_whose_clock_stands_at_1970_connects_by_the_floor(authority: Authority) -> None:
    assert outcome(tls(authority), server_context(authority.issue_server()), lambda: 0.0) == "TLSv1.3"


def test_list_of_revoked_certificates_that_has_ended_is_refused(authority: Authority) -> None:
    authority.list_revoked(datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(seconds=1))
    assert "list of revoked certificates ended" in outcome(tls(authority), server_context(authority.issue_server()))


def test_revoked_server_is_refused(authority: Authority) -> None:
    server = authority.issue_server()
    authority.revoke(server)
    assert "certificate revoked" in outcome(tls(authority), server_context(server))


def test_list_of_another_authority_says_nothing_of_ours(authority: Authority, tmp_path: Path) -> None:
    other = Authority(tmp_path / "other", name="Another CA")
    authority.crl.write_bytes(other.crl.read_bytes())
    assert "unable to get certificate CRL" in outcome(tls(authority), server_context(authority.issue_server()))


def test_two_authorities_with_their_lists_are_both_trusted(authority: Authority, tmp_path: Path) -> None:
    other = Authority(tmp_path / "other", name="Its successor")
    for ours, theirs in ((authority.ca, other.ca), (authority.crl, other.crl)):
        ours.write_bytes(ours.read_bytes() + theirs.read_bytes())
    config = tls(authority)
    for issuer in (authority, other):
        server = issuer.issue_server()
        both = Identity(authority.ca, authority.crl, server.certificate, server.key)
        assert outcome(config, server_context(both)) == "TLSv1.3"


def test_rogue_authority_of_the_same_name_is_refused(authority: Authority, tmp_path: Path) -> None:
    told = outcome(tls(authority), server_context(Authority(tmp_path / "rogue").issue_server()))
    assert "certificate verify failed" in told


def test_client_certificate_makes_no_server(authority: Authority) -> None:
    told = outcome(tls(authority), server_context(authority.issue_client("t-2")))
    assert "certificate verify failed" in told


def test_other_curve_is_refused(authority: Authority) -> None:
    told = outcome(tls(authority), server_context(authority.issue_server(curve=ec.SECP384R1())))
    assert "not P-256" in told


def test_tls_1_2_is_refused(authority: Authority) -> None:
    context = server_context(authority.issue_server())
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    assert "PROTOCOL_VERSION" in outcome(tls(authority), context).upper()


@pytest.mark.parametrize("file", ["ca", "crl", "certificate", "key"])
@pytest.mark.parametrize("content", [None, b"", b"not PEM"])
def test_file_that_cannot_be_used_is_said_and_nothing_is_tried(
    authority: Authority, file: str, content: bytes | None
) -> None:
    config = tls(authority)
    path = Path(getattr(config, file))
    path.unlink() if content is None else path.write_bytes(content)
    for table in ("link.tls", "broker.tls"):
        with pytest.raises(LinkError) as refused:
            client_context(config, time.time, table)
        assert str(refused.value).startswith(f"{table}.{file}: {path}: ")
        by_hand = table == "link.tls" and file in ("certificate", "key")
        assert ("tessera link request" in str(refused.value)) == by_hand


def test_packet_larger_than_any_of_ours_is_not_read_whatever_its_head_says(authority: Authority) -> None:
    """A head that promises 200 MB, and a body that comes: the connection ends before more than a packet was read."""
    sent, ended, lost, went = threading.Event(), threading.Event(), threading.Event(), [0]

    def flood(secured: ssl.SSLSocket) -> None:
        secured.recv(4096)
        secured.sendall(CONNACK)
        secured.recv(4096)
        secured.sendall(bytes([0x32, 0x80, 0x80, 0x80, 0x64]))
        sent.set()
        try:
            while True:
                went[0] += secured.send(bytes(MAX_PACKET_BYTES))
        except OSError:
            ended.set()

    with Server(server_context(authority.issue_server()), flood) as there:
        settings = LinkConfig(host="127.0.0.1", port=there.port, tls=tls(authority))
        read: list[bytes] = []
        with Broker(
            settings, "t-1", b"will", time.time, lambda _, envelope: read.append(envelope),
            lambda connected, detail: lost.set() if "disconnected" in detail else None,
        ):  # fmt: skip
            assert sent.wait(WAIT_S)
            assert lost.wait(WAIT_S)
            assert ended.wait(WAIT_S)
        assert not read
        # what fits into the buffers in between
        assert went[0] < 50 * 2**20
