"""What a gallery of 50,000 people costs: `tessera bench --only gallery`.

Enrolling, opening everybody, finding, and all that wraps everybody anew; CPU time and time on the wall, for what the
disk costs is no CPU time. Memory is that of a process of its own that opens the gallery. The people are drawn; their
consent is bytes of the length of a real one. Signing and unsealing are those of the secure element in software; what
tokens and TPMs take is in docs/keys.md, and each new epoch asks them four times (prepare, unseal, seal, end).
"""

import secrets
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from rich.console import Console
from rich.table import Table

from drivers.secure_element.interface import SecureElement
from drivers.secure_element.software import create, open_secure_element
from firmware.gallery import opening
from firmware.gallery.gallery import Gallery
from firmware.gallery.held import DAY_S
from firmware.gallery.memory import SecretRows
from firmware.gallery.people import Seeds, insert
from firmware.gallery.sealed import DTYPE, KEYS_BYTES, Record
from firmware.gallery.store import Store
from firmware.vision.calibration import load_calibration
from hil.rig.bench_search import Crowd

PEOPLE, LOOKS, AT_A_TIME = 50_000, 500, 2000
CONSENT_BYTES = 700
NOW = 1_790_000_000
UNTIL = NOW + 365 * DAY_S
NETWORKS = bytes(32)
PASSPHRASE = b"bench"


class Cost(msgspec.Struct, frozen=True):
    """CPU and wall milliseconds of something done `times` times: the median, or the one."""

    cpu_ms: float
    wall_ms: float
    times: int


def measure(people: int = PEOPLE) -> dict[str, Any]:
    """Costs by what was done; sizes in bytes."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "passphrase").touch(0o600)
        (folder / "passphrase").write_bytes(PASSPHRASE)
        create(folder / "element", PASSPHRASE).close()
        costs: dict[str, Cost] = {}
        with closing(_element(folder)) as element:
            _fill(folder / "gallery.db", element, people)
            costs |= _of_element(element)
        opened, size = _in_a_process(folder), (folder / "gallery.db").stat().st_size
        with (
            closing(_element(folder)) as element,
            closing(Gallery(folder / "gallery.db", element, NETWORKS)) as gallery,
        ):
            costs |= _work(gallery, folder)
    return {
        "people": people,
        "costs": {"open": Cost(opened["cpu_ms"], opened["wall_ms"], 1)} | costs,
        "file_bytes": size,
        "resident_bytes_before": opened["before"],
        "resident_bytes_opened": opened["after"],
        "locked_bytes": opened["locked"],
    }


def show(console: Console, row: dict[str, Any]) -> None:
    """Print what was measured."""
    table = Table("", "CPU ms", "wall ms", "times")
    for name, cost in row["costs"].items():
        table.add_row(name, f"{cost.cpu_ms:,.2f}", f"{cost.wall_ms:,.2f}", str(cost.times))
    console.print(table)
    more = row["resident_bytes_opened"] - row["resident_bytes_before"]
    console.print(
        f"{row['people']:,} people: file {row['file_bytes'] / 1e6:.0f} MB; opening adds {more / 1e6:.0f} MB to the "
        f"{row['resident_bytes_before'] / 1e6:.0f} MB of a process that has the software loaded, "
        f"{row['locked_bytes'] / 1e6:.0f} MB of it locked. Median where done more than once; everybody is wrapped anew "
        "in erase, withdraw, rotate and reissue"
    )


def _element(folder: Path) -> SecureElement:
    return open_secure_element({"path": str(folder / "element"), "passphrase_file": str(folder / "passphrase")})


def _fill(path: Path, element: SecureElement, people: int) -> None:
    """Write everybody in one transaction: each as `Gallery.enrol` writes them, without a sync for each."""
    crowd, consent = Crowd(load_calibration("virtual")), secrets.token_bytes(CONSENT_BYTES)
    cells, scratch = SecretRows(1, DTYPE), SecretRows(2, DTYPE)
    for rows in (cells, scratch, scratch):
        rows.take()
    with closing(Store(path)) as store:
        opening.prepare(store, element, NETWORKS, scratch)
        wrapping, seeds = opening.wrapping(store, element), Seeds({})
        with store.transaction("the bench cannot go on") as db:
            for number in range(people):
                if number % AT_A_TIME == 0:
                    drawn, _ = crowd.people(AT_A_TIME)
                cells.rows["key"][0] = np.frombuffer(secrets.token_bytes(KEYS_BYTES), np.uint8)
                cells.rows["templates"][0] = drawn[number % AT_A_TIME]
                mandate = number.to_bytes(16, "big")
                record = Record(("payment",), f"payer-{number}", mandate, NETWORKS, NOW, NOW, UNTIL, 0)
                insert(db, wrapping, seeds, f"{number:016x}", cells.rows, record, consent, scratch)
                db.execute("INSERT INTO used VALUES (?)", (mandate,))
            seeds.write(db, wrapping, every=True)
        store.empty_log()
    cells.close()
    scratch.close()


def _enrol(gallery: Gallery, number: int) -> None:
    gallery.enrol(
        consent=bytes(CONSENT_BYTES),
        purposes=("payment",),
        payer=f"new-{number}",
        mandate=secrets.token_bytes(16),
        templates=gallery.people(number, 1)[0].templates,
        retain_until=UNTIL,
        now=NOW,
    )


def _work(gallery: Gallery, folder: Path) -> dict[str, Cost]:
    people = [one.person for one in gallery.people(0, 8)]
    some = np.random.default_rng(0).integers(0, len(gallery), LOOKS).tolist()
    return {
        "enrol": _repeated(lambda i: _enrol(gallery, i), 100),
        "find": _repeated(lambda i: gallery.find(f"payer-{some[i]}", "payment", NOW), LOOKS),
        "seen": _repeated(lambda i: gallery.seen(people[0], NOW + (i + 1) * DAY_S), 50),
        "erase": _repeated(lambda i: gallery.erase(people[1 + i], lambda _: b"receipt"), 5),
        "rotate the sealing key": _repeated(lambda _: gallery.rotate_sealing(), 3),
        "reissue a purpose": _repeated(lambda _: gallery.reissue("payment"), 1),
        "backup": _repeated(lambda i: gallery.backup(folder / f"backup-{i}.db"), 1),
    }


def _of_element(element: SecureElement) -> dict[str, Cost]:
    sealed = element.seal(bytes(32), b"bench", 1)
    return {
        "sign": _repeated(lambda _: element.sign(bytes(700)), LOOKS),
        "seal": _repeated(lambda _: element.seal(bytes(32), b"bench", 1), LOOKS),
        "unseal": _repeated(lambda _: element.unseal(sealed, b"bench", 1), LOOKS),
    }


def _repeated(do: Callable[[int], object], times: int) -> Cost:
    cpu_ms, wall_ms = list[float](), list[float]()
    for i in range(times):
        with _timed(cpu_ms, wall_ms):
            do(i)
    return _median(cpu_ms, wall_ms)


@contextmanager
def _timed(cpu_ms: list[float], wall_ms: list[float]) -> Iterator[None]:
    cpu, wall = time.process_time_ns(), time.perf_counter_ns()
    yield
    cpu_ms.append((time.process_time_ns() - cpu) / 1e6)
    wall_ms.append((time.perf_counter_ns() - wall) / 1e6)


def _median(cpu_ms: list[float], wall_ms: list[float]) -> Cost:
    return Cost(round(statistics.median(cpu_ms), 3), round(statistics.median(wall_ms), 3), len(cpu_ms))


def _in_a_process(folder: Path) -> dict[str, float]:
    """Open the gallery in a new process, as `core` does at its start."""
    done = subprocess.run(
        [sys.executable, "-m", "hil.rig.bench_gallery", str(folder)], capture_output=True, text=True, check=True
    )
    return msgspec.json.decode(done.stdout, type=dict[str, float])


def _open(folder: Path) -> dict[str, float]:
    element, cpu_ms, wall_ms = _element(folder), list[float](), list[float]()
    before = _memory("VmRSS")
    with _timed(cpu_ms, wall_ms):
        gallery = Gallery(folder / "gallery.db", element, NETWORKS)
    after = {"before": before, "after": _memory("VmRSS"), "locked": _memory("VmLck")}
    gallery.close()
    return {"cpu_ms": round(cpu_ms[0]), "wall_ms": round(wall_ms[0])} | after


def _memory(name: str) -> float:
    """Bytes, from proc(5)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return 1024 * int(line.split()[1])
    raise RuntimeError(f"no {name} in /proc/self/status")


if __name__ == "__main__":
    sys.stdout.write(msgspec.json.encode(_open(Path(sys.argv[1]))).decode())
