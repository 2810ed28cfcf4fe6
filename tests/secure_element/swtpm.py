"""Software TPMs for tests: real processes that speak TPM 2.0, each with its own state and its own socket."""

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tpm2_pytss import ESAPI, ESYS_TR, TPM2_ALG, TPML_DIGEST_VALUES, TPMT_HA, TPMU_HA

from hil.rig.soft_tpm import SoftTpm
from tests.absent import absent


class Swtpm(SoftTpm):
    """One TPM in `folder`. `measured`: at each start something is measured into PCR 7, as by a real firmware."""

    def __init__(self, folder: Path, *, measured: bool = True) -> None:
        super().__init__(folder)
        self._measured = measured
        self.start()

    def start(self) -> None:
        """Switch it on."""
        super().start()
        if self._measured:
            self.extend(7, b"firmware")

    def extend(self, pcr: int, what: bytes) -> None:
        """Measure something into a register."""
        with self.talk() as esapi:
            digest = TPMT_HA(hashAlg=TPM2_ALG.SHA256, digest=TPMU_HA(sha256=what.ljust(32, b"\0")))
            esapi.pcr_extend(ESYS_TR(pcr), TPML_DIGEST_VALUES([digest]))

    @contextlib.contextmanager
    def talk(self) -> Iterator[ESAPI]:
        """A connection of another program than the product."""
        esapi = ESAPI(self.tcti)
        try:
            yield esapi
        finally:
            esapi.close()

    def reset(self, what: bytes = b"firmware") -> None:
        """Switch it off and on, with `what` measured."""
        self.kill()
        measured, self._measured = self._measured, False
        self.start()
        self._measured = measured
        self.extend(7, what)


@contextlib.contextmanager
def swtpms() -> Iterator["Shelf"]:
    """As many TPMs as asked for, all stopped at the end."""
    if shutil.which("swtpm") is None:
        absent("no swtpm: run `make setup`, or install the Debian package")
    shelf = Shelf(Path(tempfile.mkdtemp(prefix="tpm")))
    try:
        yield shelf
    finally:
        shelf.clear()


class Shelf:
    """Where the TPMs of a test stand; a short path, for sockets' names are short."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._taken: list[Swtpm] = []

    def take(self, *, measured: bool = True, like: Path | None = None) -> Swtpm:
        """A new TPM, switched on; `like`: the state of another that is switched off."""
        folder = self._folder / str(len(self._taken))
        if like is not None:
            shutil.copytree(like, folder, ignore=shutil.ignore_patterns("tpm", "tpm.ctrl"))
        self._taken.append(Swtpm(folder, measured=measured))
        return self._taken[-1]

    def clear(self) -> None:
        """Stop them all."""
        for tpm in self._taken:
            tpm.kill()
        shutil.rmtree(self._folder)
