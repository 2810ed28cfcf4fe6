"""What both ends of a connection hold each other to: header, size, type, user."""

import os
import socket
import struct
from collections.abc import Collection
from pathlib import Path
from typing import Any, Generic, TypeVar

import msgspec

VERSION = 1
MAX_PAYLOAD_BYTES = 64 * 1024
# how long the rest of a begun message, or room in the peer's buffer, may take
PATIENCE_S = 2.0

_HEADER = struct.Struct(">IB")
HEADER_BYTES = _HEADER.size
# struct ucred of unix(7): pid, uid, gid
_UCRED = struct.Struct("iII")
# sun_path of unix(7), less its terminating zero
_MAX_PATH_BYTES = 107

_T = TypeVar("_T")


class IpcError(Exception):
    """A message that cannot be sent, or a connection that broke a rule and has been closed. The message says why."""


class IpcClosedError(IpcError):
    """The peer has gone, or was never there."""


class Codec(Generic[_T]):
    """Bytes of one message, and back. `receive_type` is a union of tagged structs."""

    def __init__(self, receive_type: Any) -> None:
        self._encoder = msgspec.msgpack.Encoder()
        self._decoder: msgspec.msgpack.Decoder[_T] = msgspec.msgpack.Decoder(receive_type)

    def encode(self, message: msgspec.Struct) -> bytes:
        """Return the whole message with its header. Raises IpcError if it is too large."""
        payload = self._encoder.encode(message)
        if len(payload) > MAX_PAYLOAD_BYTES:
            raise IpcError(f"{type(message).__name__} has {len(payload)} bytes, the limit is {MAX_PAYLOAD_BYTES}")
        return _HEADER.pack(len(payload), VERSION) + payload

    def decode(self, payload: bytes) -> _T:
        """Return the message. Raises IpcError."""
        try:
            return self._decoder.decode(payload)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise IpcError(f"peer sent what is no message of ours: {error}") from error


def payload_size(header: bytes) -> int:
    """Check a header; return how many bytes follow it. Raises IpcError."""
    size, version = _HEADER.unpack(header)
    if version != VERSION:
        raise IpcError(f"peer speaks version {version}, this is version {VERSION}")
    if size > MAX_PAYLOAD_BYTES:
        raise IpcError(f"peer announces {size} bytes, the limit is {MAX_PAYLOAD_BYTES}")
    return int(size)


def address(path: Path) -> str:
    """Return `path` as a socket address. Raises IpcError if it is longer than the kernel takes."""
    if len(os.fsencode(path)) > _MAX_PATH_BYTES:
        raise IpcError(f"{path}: longer than the {_MAX_PATH_BYTES} bytes of a socket's path; choose a shorter run_dir")
    return str(path)


def check_user(stream: Any, allowed_uids: Collection[int] | None) -> None:
    """Raise IpcError if the process at the other end runs as a user not in `allowed_uids` (None: our own only)."""
    _, uid, _ = _UCRED.unpack(stream.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
    if uid not in ({os.geteuid()} if allowed_uids is None else allowed_uids):
        raise IpcError(f"peer runs as user {uid}, who is not allowed")
