"""The command line's end of `core`'s control socket."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from firmware.core.errors import TerminalError
from firmware.runtime.config import Config
from firmware.runtime.ipc import Connection, IpcError, connect
from firmware.runtime.messages import Event, Failed, FromCore

CONTROL_SOCKET = "control.sock"


@contextmanager
def control(config: Config, timeout_s: float = 2.0) -> Iterator[Connection[Any]]:
    """Connect to a running terminal.

    Raises:
        TerminalError: it is not running.
    """
    path = Path(config.run_dir) / CONTROL_SOCKET
    try:
        connection = connect(path, FromCore, timeout_s)
    except IpcError as error:
        raise TerminalError(f"the terminal is not running ({error}); start it with `tessera run`") from error
    with connection:
        yield connection


def ask(
    connection: Connection[Any],
    request: msgspec.Struct,
    timeout_s: float,
    on_event: Callable[[Event], None] | None = None,
) -> Any:
    """Send a request and return its answer; events that come meanwhile go to `on_event`.

    Raises:
        TerminalError: the terminal refused, or did not answer within `timeout_s` seconds of its last word.
    """
    try:
        connection.send(request)
        return _answer(connection, timeout_s, on_event)
    except IpcError as error:
        raise TerminalError(f"the terminal hung up ({error}); see `tessera doctor`") from error


def _answer(connection: Connection[Any], timeout_s: float, on_event: Callable[[Event], None] | None) -> Any:
    while True:
        message = connection.receive(timeout_s)
        if message is None:
            raise TerminalError(f"the terminal did not answer within {timeout_s:g} s; see `tessera doctor`")
        if isinstance(message, Failed):
            raise TerminalError(f"{message.text} [{message.reason}]", message.reason)
        if not isinstance(message, Event):
            return message
        if on_event is not None:
            on_event(message)
