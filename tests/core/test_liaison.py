"""What terminal and backend tell each other beside payments, and what an attacker on the way cannot make of it."""

import asyncio
import contextlib
import hashlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from drivers.secure_element.interface import SecureElementError
from firmware.core.errors import TerminalError
from firmware.core.liaison import AGAIN_S, NO_CAMERA, REQUEST_EVERY_S, STATUS_AGAIN_S, STATUS_EVERY_S, Liaison
from firmware.core.link_port import LinkPort
from firmware.core.parts import Parts
from firmware.payment import schema
from firmware.payment.clock import MAX_SKEW_S
from firmware.payment.errors import OutboxError, PaymentError
from firmware.payment.messages import (
    Beacon,
    BeaconRequest,
    CertificateGrant,
    CertificateRequest,
    Status,
)
from firmware.payment.trust import Trust, key_id, load_public_key
from firmware.runtime.ipc import Connection, IpcError, connect, serve
from firmware.runtime.messages import (
    Certificate,
    Delivered,
    FromLink,
    LastWill,
    LinkState,
    Publish,
    TimeFloor,
    ToLink,
    WantCertificate,
)
from hil.backend.keys import signer
from hil.backend.simulator import new_element
from tests.payment.rooted import DAY_S, T0, Rooted, new_key

CSR = b"\x30" * 100
DER = b"\x30" * 200


class Outbox:
    """The floor and the counter it keeps; `full` fails."""

    def __init__(self, rooted: Rooted) -> None:
        self._rooted, self.counter, self.full = rooted, 7, False

    @property
    def time_floor(self) -> int:
        return self._rooted.time_floor

    def heard(self, beacon: Beacon) -> None:
        if self.full:
            raise OutboxError("no space left")
        self._rooted.time_floor = max(self._rooted.time_floor, beacon.time)

    def waiting(self) -> int:
        return 2


class Office:
    """A liaison with real keys, clock and signatures; the outbox and the people are scripted."""

    def __init__(self, folder: Path) -> None:
        self.rooted, self.element, self.camera = Rooted(folder), new_element(), "CAM-1"
        self.people, self.outbox = ["ada"], Outbox(self.rooted)
        parts = SimpleNamespace(
            config=SimpleNamespace(terminal="till-1"), profile=SimpleNamespace(name="rig"), element=self.element,
            gallery=self.people, outbox=self.outbox, clock=self.rooted.clock, trust=self.rooted.keys,
            beacons=self.rooted.beacons, firmware_version="0.1.0", models_digest=bytes(32),
            now_or_floor=self.rooted.clock.at_least,
        )  # fmt: skip
        self.delivered: list[Delivered] = []
        self.port = LinkPort(self.delivered.append, self._connected, self._wanted, lambda: self.liaison.greet())
        self.liaison = Liaison(
            cast("Parts", parts), self.port, lambda: self.camera, elapsed=lambda: self.rooted.elapsed
        )
        key = load_public_key(self.element.public_key)
        self.device = Trust({key_id(key): key})

    def _connected(self) -> None:
        self.liaison.connected()

    def _wanted(self, request: bytes) -> None:
        self.liaison.want_certificate(request)

    def read(self, envelope: bytes, kind: type[schema.M]) -> schema.M:
        return schema.verify(envelope, kind, self.device.resolve)[1]

    def due(self) -> dict[str, bytes]:
        return {message.kind: message.envelope for message in self.liaison.due()}

    def answer(self, time_s: int = T0) -> None:
        """The backend answers what is asked now."""
        asked = self.read(self.due()["beacon-request"], BeaconRequest)
        self.liaison.on_beacon(self.rooted.beacon(asked.nonce, time_s))

    def news(self) -> Status | None:
        envelope = self.due().get("status")
        return None if envelope is None else self.read(envelope, Status)

    def grant(self, request: bytes, terminal: str = "till-1", by: Any = None) -> bytes:
        key = by or self.rooted.key
        message = CertificateGrant(terminal=terminal, request=hashlib.sha256(request).digest(), certificate=DER)
        return schema.sign(message, signer(key), key_id(key.public_key()))


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    office = Office(tmp_path)
    yield office
    office.element.close()


def refusal(act: Callable[[], object]) -> str:
    with pytest.raises(PaymentError) as error:
        act()
    return error.value.code


# -- the time


def test_every_question_has_a_nonce_of_its_own_and_says_what_waits(office: Office) -> None:
    first = office.read(office.due()["beacon-request"], BeaconRequest)
    assert (first.terminal, first.counter, first.waiting) == ("till-1", 7, 2)
    assert "beacon-request" not in office.due(), "one at a time"
    office.rooted.elapsed += 2
    again = office.read(office.due()["beacon-request"], BeaconRequest)
    assert again.nonce != first.nonce
    office.liaison.connected()
    assert "beacon-request" in office.due(), "at every connection"


def test_a_beacon_that_cannot_be_kept_does_not_count(office: Office) -> None:
    """Otherwise a restart would bring an older time back."""
    office.outbox.full = True
    assert refusal(office.answer) == "storage"
    assert not office.rooted.clock.known
    office.outbox.full = False
    office.rooted.elapsed += 2
    office.answer()
    assert office.rooted.clock.known


def test_a_beacon_replayed_by_the_broker_moves_nothing(office: Office) -> None:
    nonce = office.read(office.due()["beacon-request"], BeaconRequest).nonce
    beacon = office.rooted.beacon(nonce)
    office.liaison.on_beacon(beacon)
    office.rooted.elapsed += 3600
    office.due()
    assert refusal(lambda: office.liaison.on_beacon(beacon)) == "time"
    assert office.rooted.clock.now() == T0 + 3601


# -- how it is


def test_the_last_will_ends_the_connection_the_birth_begins(office: Office) -> None:
    _, will = office.liaison.greet()
    assert isinstance(will, LastWill)
    ended = office.read(will.envelope, Status)
    assert (ended.presence, ended.sequence) == ("offline", 0)
    office.answer()
    born = office.news()
    assert born is not None
    assert (born.presence, born.sequence, born.connection) == ("online", 1, ended.connection)
    assert (born.camera, born.key_set, born.counter, born.waiting, born.people) == ("CAM-1", 1, 7, 2, 1)
    office.liaison.greet()
    office.liaison.connected()
    again = office.news()
    assert again is not None
    assert again.connection != born.connection, "a will of before ends nothing of now"


def test_a_terminal_without_time_says_nothing_that_would_look_old_or_new(office: Office) -> None:
    office.liaison.connected()
    assert office.news() is None
    office.rooted.elapsed += 2
    office.answer()
    assert office.news() is not None


def test_changes_are_told_at_most_every_half_minute_and_all_is_told_every_ten(office: Office) -> None:
    office.answer()
    assert office.news() is not None
    office.camera = ""
    office.rooted.elapsed += STATUS_EVERY_S - 1
    assert office.news() is None
    office.rooted.elapsed += 1
    told = office.news()
    assert told is not None
    assert (told.camera, told.sequence) == (NO_CAMERA, 2)
    office.rooted.elapsed += STATUS_AGAIN_S - 1
    assert office.news() is None
    office.rooted.elapsed += 1
    told = office.news()
    assert told is not None
    assert told.sequence == 3


def test_another_key_set_is_taken_from_the_wire_and_told(office: Office) -> None:
    office.answer()
    office.news()
    office.liaison.on_key_set(office.rooted.set_of(2, office.rooted.other))
    office.rooted.elapsed += STATUS_EVERY_S
    told = office.news()
    assert told is not None
    assert told.key_set == 2
    assert refusal(lambda: office.liaison.on_key_set(office.rooted.set_of(1))) == "key_set"


def test_what_cannot_be_signed_is_not_sent_and_tried_again(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    def pulled(_: int) -> bytes:
        raise SecureElementError("gone")

    with monkeypatch.context() as without:
        without.setattr(office.element, "random", pulled)
        office.port.connected = True
        assert office.due() == {}
        assert office.liaison.rest_s == AGAIN_S, "not at once"
    assert "beacon-request" in office.due()


# -- a certificate for the link


def test_a_certificate_is_asked_for_by_the_device_and_only_once_there_is_time(office: Office) -> None:
    office.liaison.want_certificate(CSR)
    due = office.due()
    assert "certificate-request" not in due
    nonce = office.read(due["beacon-request"], BeaconRequest).nonce
    office.liaison.on_beacon(office.rooted.beacon(nonce))
    asked = office.read(office.due()["certificate-request"], CertificateRequest)
    assert (asked.terminal, asked.request, asked.issued_at) == ("till-1", CSR, T0 + 1)
    office.liaison.want_certificate(CSR)
    assert "certificate-request" not in office.due(), "the answer may be on its way"
    office.rooted.elapsed += REQUEST_EVERY_S
    assert "certificate-request" in office.due()


def test_the_link_is_handed_the_certificate_it_asked_for_once(office: Office) -> None:
    office.answer()
    office.liaison.want_certificate(CSR)
    request = office.due()["certificate-request"]
    office.liaison.on_certificate(office.grant(request))
    assert Certificate(certificate=DER) in office.liaison._for_link
    assert refusal(lambda: office.liaison.on_certificate(office.grant(request))) == "trust"


def test_a_certificate_that_is_anothers_or_nobodys_is_not_handed_on(office: Office) -> None:
    office.answer()
    assert refusal(lambda: office.liaison.on_certificate(office.grant(b""))) == "trust", "nothing was asked for"
    office.liaison.want_certificate(CSR)
    request = office.due()["certificate-request"]
    attacks = {
        "terminal_mismatch": office.grant(request, terminal="till-2"),
        "trust": office.grant(b"another request"),
        "unknown_key": office.grant(request, by=new_key()),
        "malformed": office.rooted.beacon(bytes(32)),
    }
    for code, envelope in attacks.items():
        assert refusal(partial(office.liaison.on_certificate, envelope)) == code
    assert not any(isinstance(told, Certificate) for told in office.liaison._for_link)


def test_a_certificate_by_a_revoked_key_is_not_handed_on(office: Office) -> None:
    office.answer()
    office.liaison.want_certificate(CSR)
    grant = office.grant(office.due()["certificate-request"])
    office.liaison.on_key_set(office.rooted.set_of(2, office.rooted.other))
    assert refusal(lambda: office.liaison.on_certificate(grant)) == "unknown_key"


def test_by_hand_it_is_asked_for_without_time_and_stays_the_same_until_answered(office: Office) -> None:
    with pytest.raises(TerminalError, match="no certificate is due"):
        office.liaison.certificate_request()
    office.liaison.want_certificate(CSR)
    request = office.liaison.certificate_request()
    office.liaison.want_certificate(CSR)
    assert office.liaison.certificate_request() == request, "it may be on its way"
    office.liaison.on_certificate(office.grant(request))
    with pytest.raises(TerminalError):
        office.liaison.certificate_request()


def test_the_first_certificate_by_hand_is_asked_for_as_of_its_keys_since_no_beacon_ever_came(office: Office) -> None:
    """None of 90 days ago is answered, and before the first beacon the clock knows of nothing later than 2020."""
    office.liaison.want_certificate(CSR)
    first = office.read(office.liaison.certificate_request(), CertificateRequest)
    assert first.issued_at == T0 - MAX_SKEW_S
    office.rooted.keys.take(office.rooted.set_of(2, now=T0 + 100 * DAY_S))
    office.liaison.greet()
    office.liaison.want_certificate(CSR)
    later = office.read(office.liaison.certificate_request(), CertificateRequest)
    assert later.issued_at == T0 + 100 * DAY_S - MAX_SKEW_S, "a newer set tells of a later time"


# -- over the socket of `link`


def over_the_socket(office: Office, folder: Path, link: Callable[[Connection[ToLink]], None]) -> None:
    """Serve the link's socket while `link` plays its process, in a thread."""

    def play() -> None:
        with contextlib.closing(connect(folder / "link.sock", ToLink, 5.0)) as core:
            link(core)

    async def run() -> None:
        server = await serve(folder / "link.sock", FromLink, office.port.attend)
        keeping = asyncio.create_task(office.liaison.keep_forever())
        try:
            await asyncio.to_thread(play)
        finally:
            keeping.cancel()
            await server.close()

    asyncio.run(asyncio.wait_for(run(), 20))


def take(core: Connection[ToLink], kind: type[Any]) -> Any:
    """The next message, of this kind."""
    message = core.receive(10.0)
    assert isinstance(message, kind), message
    return message


def test_the_link_hears_floor_and_will_first_then_questions_then_the_time(office: Office, tmp_path: Path) -> None:
    office.rooted.time_floor = T0 - 5

    def link(core: Connection[ToLink]) -> None:
        assert take(core, TimeFloor).at == T0 - 5
        take(core, LastWill)
        core.send(LinkState(connected=True, tls_until=T0 + DAY_S))
        asked = take(core, Publish)
        assert asked.kind == "beacon-request"
        nonce = office.read(asked.envelope, BeaconRequest).nonce
        core.send(WantCertificate(request=CSR))
        core.send(Delivered(kind="beacon", envelope=office.rooted.beacon(nonce)))
        told = [core.receive(10.0) for _ in range(3)]
        assert TimeFloor(at=T0 + 1) in told
        sent = {message.kind: message.envelope for message in told if isinstance(message, Publish)}
        assert office.read(sent["status"], Status).tls_until == T0 + DAY_S
        assert office.read(sent["certificate-request"], CertificateRequest).request == CSR

    office.port._on_envelope = lambda delivered: office.liaison.on_beacon(delivered.envelope)
    over_the_socket(office, tmp_path, link)
    assert not office.port.connected
    assert office.port.detail == "the link process is gone"


def test_no_link_is_let_in_without_a_last_will(office: Office, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def pulled(_: bytes) -> bytes:
        raise SecureElementError("gone")

    monkeypatch.setattr(office.element, "sign", pulled)

    def link(core: Connection[ToLink]) -> None:
        with pytest.raises(IpcError):
            core.receive(10.0)

    over_the_socket(office, tmp_path, link)


def test_a_link_that_starts_anew_is_not_taken_for_connected(office: Office, tmp_path: Path) -> None:
    def link(core: Connection[ToLink]) -> None:
        core.send(LinkState(connected=True))
        take(core, TimeFloor)
        take(core, LastWill)
        take(core, Publish)
        with contextlib.closing(connect(tmp_path / "link.sock", ToLink, 5.0)) as later:
            take(later, TimeFloor)
            assert not office.port.connected

    over_the_socket(office, tmp_path, link)


def test_after_another_identity_is_in_force_the_link_comes_again_for_a_will_by_it(
    office: Office, tmp_path: Path
) -> None:
    """A will by the identity before would be refused, and the terminal shown as online for ever."""

    async def run() -> None:
        server = await serve(tmp_path / "link.sock", FromLink, office.port.attend)
        try:
            first = await asyncio.to_thread(connect, tmp_path / "link.sock", ToLink, 5.0)
            before = [await asyncio.to_thread(take, first, kind) for kind in (TimeFloor, LastWill)][1]
            office.element = office.liaison._parts.element = new_element()  # type: ignore[misc]
            office.port.greet_anew()
            with pytest.raises(IpcError):
                await asyncio.to_thread(first.receive, 10.0)
            with contextlib.closing(await asyncio.to_thread(connect, tmp_path / "link.sock", ToLink, 5.0)) as again:
                after = [await asyncio.to_thread(take, again, kind) for kind in (TimeFloor, LastWill)][1]
        finally:
            await server.close()
        key = load_public_key(office.element.public_key)
        schema.verify(after.envelope, Status, Trust({key_id(key): key}).resolve)
        office.read(before.envelope, Status)

    asyncio.run(asyncio.wait_for(run(), 20))
