"""`python -m firmware.link`: from `core` to the broker and back."""

import logging
from pathlib import Path

from firmware.link.broker import Broker, LinkError
from firmware.runtime import child, ipc
from firmware.runtime.messages import Delivered, LinkState, Publish, ToLink

RETRY_S = 0.2
# a TLS file that is not there yet
TLS_RETRY_S = 2.0
_SLICE_S = 0.25

_log = logging.getLogger("tessera.link")


def main() -> None:
    """Run as a child of the supervisor until SIGTERM."""
    process = child.start("link")
    while not process.stop:
        process.heartbeat.beat()
        try:
            with ipc.connect(Path(process.config.run_dir) / "link.sock", ToLink, RETRY_S) as core:
                _carry(process, core)
        except ipc.IpcError as error:
            _log.info("core: %s", error)
        process.stop.wait(RETRY_S)


def _carry(process: child.Child, core: ipc.Connection[ToLink]) -> None:
    """Carry envelopes both ways until `core` goes or we are told to stop."""
    try:
        broker = Broker(
            process.config.link,
            process.config.terminal,
            on_envelope=lambda kind, envelope: core.send(Delivered(kind=kind, envelope=envelope)),
            on_state=lambda connected, detail: core.send(LinkState(connected=connected, detail=detail)),
        )
    except LinkError as error:
        _log.error("%s", error)
        core.send(LinkState(connected=False, detail=str(error)[:500]))
        process.stop.wait(TLS_RETRY_S)
        return
    with broker:
        while not process.stop:
            process.heartbeat.beat()
            message = core.receive(_SLICE_S)
            if isinstance(message, Publish):
                broker.publish(message.kind, message.envelope)


if __name__ == "__main__":
    main()
