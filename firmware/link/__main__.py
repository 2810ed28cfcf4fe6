"""`python -m firmware.link`: from `core` to the broker and back."""

import logging
from pathlib import Path

from firmware.link.carrier import Carrier
from firmware.link.tls import LinkError
from firmware.runtime import child, ipc
from firmware.runtime.messages import ToLink

RETRY_S = 0.2

_log = logging.getLogger("tessera.link")


def main() -> None:
    """Run as a child of the supervisor until SIGTERM."""
    process = child.start("link")
    while not process.stop:
        process.heartbeat.beat()
        try:
            with (
                ipc.connect(Path(process.config.run_dir) / "link.sock", ToLink, RETRY_S) as core,
                Carrier(process.config, core) as carrier,
            ):
                while not process.stop:
                    process.heartbeat.beat()
                    carrier.step()
        except (ipc.IpcError, LinkError) as error:
            _log.info("%s", error)
        process.stop.wait(RETRY_S)


if __name__ == "__main__":
    main()
