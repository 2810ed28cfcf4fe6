"""The command `tessera`: its subcommands are found by entry point `tessera.commands`.

What is installed decides what there is: a field terminal without the rig has no `demo`. Only the subcommand asked for
is imported, so that the terminal's own does not wait for what the rig's need.
Errors a person can act on, a file that cannot be read or written and a full disk among them, are printed in one line
and end with exit code 1; anything else is a defect and shows its traceback, without local variables (they may hold
templates).
"""

import errno
import sys
from importlib.metadata import entry_points
from typing import NoReturn

import typer
from rich.console import Console
from rich.markup import escape

from drivers.camera import CameraError
from drivers.npu.interface import NetworkError
from drivers.plugins import PluginError
from drivers.secure_element.interface import SecureElementError
from firmware.audit.errors import AuditError
from firmware.core.errors import TerminalError
from firmware.gallery.consent import ConsentError
from firmware.gallery.gallery import GalleryError
from firmware.payment.errors import PaymentError
from firmware.runtime.config import ConfigError
from firmware.runtime.ipc import IpcError
from firmware.vision.calibration import CalibrationError
from models.manifest import ModelError

GROUP = "tessera.commands"
# said by the system without the file's name
FULL = (errno.ENOSPC, errno.EDQUOT)
EXPECTED = (
    AuditError, CalibrationError, CameraError, ConfigError, ConsentError, GalleryError, IpcError, ModelError,
    NetworkError, PaymentError, PluginError, SecureElementError, TerminalError,
)  # fmt: skip


def build(asked: str = "") -> typer.Typer:
    """The application with the subcommand `asked` for; where there is none of that name, with all, alphabetically."""
    app = typer.Typer(
        name="tessera",
        help="Firmware for 3D face terminals: recognise, prove life, sign one payment.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_show_locals=False,
    )
    # a group even with one subcommand: typer would take its name for an argument
    app.callback()(lambda: None)
    installed = sorted(entry_points(group=GROUP), key=lambda point: point.name)
    for point in [point for point in installed if point.name == asked] or installed:
        command = point.load()
        if isinstance(command, typer.Typer):
            app.add_typer(command, name=point.name)
        else:
            app.command(point.name)(command)
    return app


def main() -> None:
    """Run the command line."""
    try:
        build(sys.argv[1] if len(sys.argv) > 1 else "")()
    except EXPECTED as error:
        _end(str(error))
    except OSError as error:
        if error.filename is not None:
            _end(f"{error.filename}: {error.strerror}")
        if error.errno not in FULL:
            raise
        _end(f"a file could not be written: {error.strerror}")


def _end(why: str) -> NoReturn:
    Console(stderr=True).print(f"[red]tessera: {escape(why)}[/red]", highlight=False)
    sys.exit(1)


if __name__ == "__main__":
    main()
