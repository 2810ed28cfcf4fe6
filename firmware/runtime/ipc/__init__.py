"""Messages between processes: length-prefixed MessagePack of tagged structs over Unix stream sockets.

On the wire a message is a 4-byte big-endian length of the payload, one version byte, and the payload.

Rules kept here:
- Version and length are checked before a byte of the payload is read; nothing above `MAX_PAYLOAD_BYTES` is.
- Both ends check the other's user id by SO_PEERCRED before they say anything.
- A message of another type than the receiver expects, an unknown field or trailing bytes close the connection.
- Every wait has an end: a peer that stops half-way through a message or does not read is hung up on.
- Whatever a peer does ends in `IpcError` on its own connection; the server goes on.

`connect` is the blocking face, for `camera`, `link` and the command line; `serve` the asyncio one, for `core`.
"""

from firmware.runtime.ipc.client import Connection, connect
from firmware.runtime.ipc.server import Peer, Server, serve
from firmware.runtime.ipc.wire import MAX_PAYLOAD_BYTES, VERSION, IpcClosedError, IpcError

__all__ = [
    "MAX_PAYLOAD_BYTES",
    "VERSION",
    "Connection",
    "IpcClosedError",
    "IpcError",
    "Peer",
    "Server",
    "connect",
    "serve",
]
