"""What reads the bytes between the terminal's processes, and what must hold of whatever it says."""

import contextlib
import random
import socket
from collections.abc import Callable
from typing import Any

import msgspec

from firmware.runtime import messages
from firmware.runtime.ipc import Connection, IpcError
from firmware.runtime.ipc.wire import HEADER_BYTES, Codec, payload_size
from tests.fuzz.mutate import ODD
from tests.fuzz.payment_bytes import GOOD
from tests.fuzz.typed_bytes import FORM

FITTING = [item for item in ODD if not isinstance(item, int) or item >= -(2**63)]  # what MessagePack can say


def unions() -> list[tuple[str, Any, list[bytes]]]:
    encode = msgspec.msgpack.encode
    envelope = next(iter(GOOD))
    to_core = [
        encode(messages.Tap(scene=3)), encode(messages.Status()),
        encode(messages.Login(name="op", passphrase="pass phrase")), encode(messages.RecordConsent(form=FORM)),
        encode(messages.Enrol(consent=envelope, mandate=envelope)), encode(messages.ListPeople(start=100)),
        encode(messages.Withdraw(person="p-1", purpose="door")), encode(messages.Rotate(what="sealing")),
        encode(messages.Pin(scene=3, digits="123456")), encode(messages.SetPin(person="p-1", mandate=envelope)),
    ]  # fmt: skip
    from_core = [
        encode(messages.Event(scene=1, stage="outcome", reason="approved", text="Approved.", values={"a": 1.5})),
        encode(messages.Failed(reason="role", text="no")), encode(messages.Erased(receipt=envelope)),
        encode(messages.Staff(members=[messages.StaffMember(name="op", role="operator")])),
    ]  # fmt: skip
    link = [
        encode(messages.Delivered(kind="intent", envelope=envelope)),
        encode(messages.LinkState(connected=True, detail="", tls_until=1_900_000_000)),
        encode(messages.WantCertificate(request=bytes(300))),
    ]
    to_link = [
        encode(messages.Publish(kind="decline", envelope=envelope)), encode(messages.LastWill(envelope=envelope)),
        encode(messages.TimeFloor(at=1_800_000_000)), encode(messages.Certificate(certificate=bytes(600))),
    ]  # fmt: skip
    return [
        ("to-core", messages.ToCore, to_core),
        ("from-core", messages.FromCore, from_core),
        ("from-link", messages.FromLink, link),
        ("to-link", messages.ToLink, to_link),
        ("to-camera", messages.ToCamera, [encode(messages.StartCapture(capture=1))]),
        ("from-camera", messages.FromCamera, [encode(messages.CameraFault(cause="unplugged", detail="gone"))]),
    ]


def messages_of(union: Any) -> Callable[[bytes], str]:
    codec: Codec[Any] = Codec(union)

    def read(data: bytes) -> str:
        with contextlib.suppress(IpcError):
            if len(data) >= HEADER_BYTES:
                payload_size(data[:HEADER_BYTES])
        try:
            message = codec.decode(data)
        except IpcError:
            return "refused"
        again = codec.encode(message)
        assert codec.encode(codec.decode(again[HEADER_BYTES:])) == again  # not the messages: a NaN is not itself
        return "read"

    return read


def framed(payload: bytes) -> bytes:
    return len(payload).to_bytes(4, "big") + b"\x01" + payload


def read_stream(data: bytes) -> str:
    ours, theirs = socket.socketpair()
    came = 0
    with Connection[Any](ours, messages.ToCore) as connection:
        theirs.sendall(data[:100_000])
        theirs.close()
        with contextlib.suppress(IpcError):
            while connection.receive(0.0) is not None:
                came += 1
    return "read" if came else "refused"


def bend_msgpack(data: bytes, source: random.Random) -> bytes:
    """A well-formed message with an odd value in one field, or a field more."""
    item = msgspec.msgpack.decode(data)
    item[source.choice([*item, "extra"])] = source.choice((*FITTING, None, 1.5, float("nan"), {"a": 1}))
    return msgspec.msgpack.encode(item)
