"""The process `core`: `python -m firmware.core --config FILE --ring-fd N --heartbeat-fd N`."""

import asyncio
import contextlib
import os
from collections.abc import Callable
from pathlib import Path

from drivers.npu.interface import NetworkError
from drivers.plugins import PluginError
from drivers.secure_element.interface import SecureElementError
from firmware.audit.errors import AuditError
from firmware.core import control
from firmware.core.attempts import AttemptsError
from firmware.core.client import CONTROL_SOCKET
from firmware.core.errors import TerminalError
from firmware.core.parts import open_parts
from firmware.core.terminal import Terminal
from firmware.core.watch import MakeWatch, Watch
from firmware.gallery.gallery import GalleryError
from firmware.payment.clock import boottime
from firmware.payment.errors import PaymentError
from firmware.runtime import child
from firmware.runtime.ipc import IpcError, serve
from firmware.runtime.messages import FromCamera, FromLink, ToCore
from firmware.runtime.ring import RingReader
from firmware.vision.calibration import CalibrationError

CANNOT_START = (
    AttemptsError, AuditError, CalibrationError, GalleryError, NetworkError, PaymentError, PluginError,
    SecureElementError, TerminalError,
)  # fmt: skip
CAMERA_SOCKET, LINK_SOCKET = "camera.sock", "link.sock"


async def run(me: child.Child, watch: MakeWatch = Watch, elapsed: Callable[[], float] = boottime) -> None:
    """Open everything, listen, and serve until told to stop.

    `watch` makes what looks at whoever pays, `elapsed` is what time is carried on by.
    """
    if me.ring_fd is None:
        raise SystemExit("tessera-core: needs the frame ring; start the terminal with `tessera run`")
    try:
        parts = open_parts(me.config, me.profile, elapsed)
    except CANNOT_START as error:
        me.log.critical("%s", error)
        raise SystemExit(os.EX_CONFIG) from error
    with contextlib.closing(parts):
        terminal = Terminal(parts, RingReader(me.ring_fd), watch)
        try:
            terminal.recover()
        except (AuditError, SecureElementError) as error:
            me.log.critical("%s", error)
            raise SystemExit(os.EX_CONFIG) from error
        run_dir = Path(me.config.run_dir)
        try:
            servers = [
                await serve(run_dir / CAMERA_SOCKET, FromCamera, terminal.stand.camera.attend),
                await serve(run_dir / LINK_SOCKET, FromLink, terminal.link.attend),
                await serve(run_dir / CONTROL_SOCKET, ToCore, lambda peer: control.attend(terminal, peer)),
            ]
        except IpcError as error:
            me.log.critical("%s", error)
            raise SystemExit(os.EX_CONFIG) from error
        delivery = asyncio.create_task(terminal.payments.delivery.forever())
        element = asyncio.create_task(terminal.watch_element())
        liaison = asyncio.create_task(terminal.liaison.keep_forever())
        me.log.info("ready")
        try:
            stopped = asyncio.create_task(me.beat_until_stopped())
            done, _ = await asyncio.wait(
                {stopped, delivery, element, liaison, terminal.stand.failed}, return_when=asyncio.FIRST_COMPLETED
            )
            for task in done:
                task.result()
        finally:
            delivery.cancel()
            element.cancel()
            liaison.cancel()
            for server in servers:
                await server.close()


if __name__ == "__main__":
    asyncio.run(run(child.start("core")))
