"""A TPM in software, a process of its own: keys, and a counter that nobody turns back, for terminals of the rig.

Nothing was measured into its registers: what it seals is bound to it, and to no platform.
"""

import shutil
import socket
import subprocess
from pathlib import Path

from firmware.core.errors import TerminalError


class SoftTpm:
    """One TPM with its state in `folder`, whose path must be short: sockets lie there.

    Attributes:
        tcti: how a secure element of kind `tpm` finds it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(exist_ok=True)
        self.tcti = f"swtpm:path={folder / 'tpm'}"

    def start(self) -> None:
        """Switch it on. Raises TerminalError: it is not installed."""
        if shutil.which("swtpm") is None:
            raise TerminalError("swtpm is not installed: apt-get install swtpm")
        listening = [self._listening(name) for name in ("tpm", "tpm.ctrl")]
        data, control = (one.fileno() for one in listening)
        self._process = subprocess.Popen(
            ["swtpm", "socket", "--tpm2", "--tpmstate", f"dir={self.folder}", "--flags", "not-need-init,startup-clear",
             "--server", f"type=unixio,fd={data}", "--ctrl", f"type=unixio,fd={control}"],
            pass_fds=(data, control),
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        for one in listening:
            one.close()

    def kill(self) -> None:
        """Pull it out: it answers no more. Idempotent."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _listening(self, name: str) -> socket.socket:
        """Made here: it can be connected to before the process has come up."""
        path = self.folder / name
        path.unlink(missing_ok=True)
        one = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        one.bind(str(path))
        one.listen()
        return one
