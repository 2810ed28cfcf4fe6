"""What each secure element costs, milliseconds of wall clock: `python -m tests.secure_element.figures`."""

import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from drivers.secure_element import pkcs11, software, tpm
from drivers.secure_element.interface import SecureElement
from tests.secure_element.softhsm import soft_token
from tests.secure_element.swtpm import swtpms

RUNS = 50
Options = dict[str, str | int | float | bool]
Way = Callable[[Options], SecureElement]


def main() -> None:
    """Print a table: medians, the worst in brackets."""
    with tempfile.TemporaryDirectory() as folder:
        for name, way, make, options in _elements(Path(folder)):
            make(options).close()
            costs = "  ".join(f"{what} {_told(taken)}" for what, taken in _costs(way, options).items())
            sys.stdout.write(f"{name}: {costs}\n")


def _elements(folder: Path) -> Iterator[tuple[str, Way, Way, Options]]:
    passphrase = folder / "passphrase"
    passphrase.touch(0o600)
    passphrase.write_text("a passphrase of the bench")
    files: Options = {"path": str(folder / "key"), "passphrase_file": str(passphrase)}
    yield "software", software.open_secure_element, software.provision, files
    with soft_token(folder) as token:
        yield "pkcs11 (SoftHSM2)", pkcs11.open_secure_element, pkcs11.provision, token.options
    with swtpms() as shelf:
        reached: Options = {"tcti": shelf.take().tcti, "folder": str(folder / "tpm")}
        yield "tpm (swtpm)", tpm.open_secure_element, tpm.provision, reached


def _costs(way: Way, options: Options) -> dict[str, list[float]]:
    opened: list[float] = []
    for _ in range(5):
        with _timed(opened):
            element = way(options)
        element.close()
    costs: dict[str, list[float]] = {"open": opened, "sign": [], "seal": [], "unseal": [], "change of epoch": []}
    with closing(way(options)) as element:
        for _ in range(RUNS):
            with _timed(costs["sign"]):
                element.sign(bytes(700))
            with _timed(costs["seal"]):
                sealed = element.seal(bytes(32), b"bench", 1)
            with _timed(costs["unseal"]):
                element.unseal(sealed, b"bench", 1)
        for epoch in range(2, 12):
            with _timed(costs["change of epoch"]):
                element.prepare_epoch(epoch)
                element.end_epochs_before(epoch)
    return costs


@contextmanager
def _timed(taken: list[float]) -> Iterator[None]:
    begun = time.perf_counter()
    yield
    taken.append(1e3 * (time.perf_counter() - begun))


def _told(taken: list[float]) -> str:
    return f"{statistics.median(taken):.2f} ({max(taken):.1f})"


if __name__ == "__main__":
    main()
