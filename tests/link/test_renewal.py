"""The link process and its certificate: renewed in time, asked for when it has ended, never a wrong one."""

import datetime
import time
from contextlib import ExitStack
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from firmware.runtime.messages import Certificate, LinkState, TimeFloor, WantCertificate
from hil.rig import brokers
from hil.rig.brokers import Broker
from hil.rig.certificates import Authority, Identity
from tests.link.ends import Core, Link, link_core
from tests.link.test_link import write_config

pytestmark = pytest.mark.usefixtures("mosquitto_installed")
MINUTES = datetime.timedelta(minutes=2)


@pytest.fixture
def authority(folder: Path) -> Authority:
    return Authority(folder / "certificates")


@pytest.fixture
def broker(folder: Path, stack: ExitStack, authority: Authority) -> Broker:
    return stack.enter_context(brokers.mosquitto(folder / "broker", authority))


@pytest.fixture
def core(folder: Path, stack: ExitStack) -> Core:
    return stack.enter_context(link_core(folder))


def begin(stack: ExitStack, folder: Path, broker: Broker, identity: Identity) -> None:
    stack.enter_context(Link(write_config(folder, broker.port, identity)))


def grant(authority: Authority, wanted: WantCertificate) -> tuple[Certificate, int]:
    """The certificate for a request, and when it ends."""
    key = x509.load_der_x509_csr(wanted.request).public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    made = authority.certify("t-1", key)
    encoded = made.public_bytes(serialization.Encoding.DER)
    return Certificate(certificate=encoded), int(made.not_valid_after_utc.timestamp())


def test_certificate_in_its_last_third_is_exchanged_on_the_running_connection(
    folder: Path, stack: ExitStack, authority: Authority, broker: Broker, core: Core
) -> None:
    ends = datetime.datetime.now(datetime.timezone.utc) + MINUTES
    begin(stack, folder, broker, authority.issue_client("t-1", ends))
    assert core.hears(LinkState, lambda state: state.connected).tls_until == int(ends.timestamp())
    granted, until = grant(authority, core.hears(WantCertificate))
    core.say(granted)
    assert core.hears(LinkState, lambda state: state.connected).tls_until == until


def test_certificate_that_has_ended_is_asked_for_without_a_broker_and_taken_from_core(
    folder: Path, stack: ExitStack, authority: Authority, broker: Broker, core: Core
) -> None:
    ended = authority.issue_client("t-1", datetime.datetime.now(datetime.timezone.utc) - MINUTES)
    begin(stack, folder, broker, ended)
    assert "`tessera link request`" in core.hears(LinkState).detail
    granted, until = grant(authority, core.hears(WantCertificate))
    core.say(granted)
    assert core.hears(LinkState, lambda state: state.connected).tls_until == until


def test_terminal_without_any_certificate_makes_a_key_and_asks(
    folder: Path, stack: ExitStack, authority: Authority, broker: Broker, core: Core
) -> None:
    identity = authority.issue_client("t-1")
    identity.certificate.unlink()
    identity.key.unlink()
    begin(stack, folder, broker, identity)
    core.say(grant(authority, core.hears(WantCertificate))[0])
    core.hears(LinkState, lambda state: state.connected)


def test_certificate_that_is_not_taken_leaves_the_connection_as_it_was(
    folder: Path, stack: ExitStack, authority: Authority, broker: Broker, core: Core
) -> None:
    ends = datetime.datetime.now(datetime.timezone.utc) + MINUTES
    begin(stack, folder, broker, authority.issue_client("t-1", ends))
    core.hears(LinkState, lambda state: state.connected)
    wanted = core.hears(WantCertificate)
    core.say(grant(Authority(folder / "rogue"), wanted)[0])
    granted, until = grant(authority, wanted)
    core.say(granted)
    assert core.hears(LinkState, lambda state: state.connected).tls_until == until


def test_broker_whose_certificate_was_taken_back_is_left_at_once(
    folder: Path, stack: ExitStack, authority: Authority, broker: Broker, core: Core
) -> None:
    begin(stack, folder, broker, authority.issue_client("t-1"))
    core.hears(LinkState, lambda state: state.connected)
    server = authority.ca.with_name("server.pem")
    authority.revoke(Identity(authority.ca, authority.crl, server, server.with_suffix(".key")))
    assert "certificate revoked" in core.hears(LinkState, lambda state: "cannot connect" in state.detail).detail


def test_broker_is_judged_anew_once_the_clock_is_known_to_have_been_behind(
    folder: Path, stack: ExitStack, authority: Authority, broker: Broker, core: Core
) -> None:
    begin(
        stack,
        folder,
        broker,
        authority.issue_client("t-1", datetime.datetime(2099, 1, 1, tzinfo=datetime.timezone.utc)),
    )
    core.hears(LinkState, lambda state: state.connected)
    core.say(TimeFloor(at=int(time.time()) + 365 * 86_400))
    told = core.hears(LinkState, lambda state: "cannot connect" in state.detail).detail
    assert "the broker's certificate ended" in told
