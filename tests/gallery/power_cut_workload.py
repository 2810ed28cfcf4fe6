"""All that changes a gallery, once; run by `power_cut.run`. It notes what the gallery holds after each change."""

import os
import pickle
import sys
from pathlib import Path

from drivers.secure_element.key_file import State
from drivers.secure_element.software import SoftwareSecureElement, in_memory
from firmware.gallery.gallery import Gallery
from tests.gallery.people import NOW, UNTIL, enrol, opened
from tests.gallery.power_cut import MARK

BOTH = ("payment", "door")


def held(gallery: Gallery) -> list[object]:
    """What a gallery holds, as a value."""
    people = [
        (one.payer, one.purposes, one.consent, one.last_seen, one.retain_until, one.disputes)
        for one in gallery.people()
    ]
    erasures = sorted(gallery._store.rows("SELECT receipt FROM erasures"))
    used = sorted(gallery._store.rows("SELECT id FROM used"))
    known = [gallery.secret(one.person, purpose) for one in gallery.people() for purpose in BOTH]
    return [people, erasures, used, known]


class Workload:
    """Notes go to the log through the file `mark`; so does each state of the element, which forgets nothing."""

    def __init__(self, folder: Path, state: State) -> None:
        self._mark = os.open(folder / MARK, os.O_WRONLY | os.O_CREAT)
        self.element = SoftwareSecureElement(state, lambda state: self._note("element", state))
        self._note("element", state)

    def _note(self, kind: str, value: object) -> None:
        os.write(self._mark, pickle.dumps((kind, value)))

    def done(self, gallery: Gallery) -> None:
        """What stands now was promised."""
        self._note("held", held(gallery))


def everything(folder: Path) -> None:
    """A new gallery, and every kind of change to it."""
    work = Workload(folder, in_memory()._state)
    gallery = opened(folder / "gallery.db", work.element)
    work.done(gallery)
    people = {}
    for seed, purposes in ((1, BOTH), (2, BOTH), (3, ("payment",))):
        people[seed] = enrol(gallery, seed, purposes)
        work.done(gallery)
    for change in (
        lambda: gallery.seen(people[1], NOW + 99_999),
        lambda: gallery.dispute(people[3], NOW),
        lambda: gallery.erase(people[2], lambda _: b"receipt of 2"),
        lambda: gallery.set_secret(people[1], "payment", b"known to 1", used=(b"mandate of a secret",)),
        lambda: gallery.note_secret(people[1], "payment", b"known to 1, once mistyped"),
        lambda: gallery.withdraw(people[1], "payment", b"door alone", NOW),
        lambda: gallery.renew(people[3], consent=b"renewed", purposes=("payment",), retain_until=UNTIL + 9, now=NOW),
        lambda: gallery.reissue("door"),
        lambda: gallery.rotate_sealing(),
        lambda: gallery.backup(folder / "backup.db"),
    ):
        change()
        work.done(gallery)
    enrol(gallery, 4, ("door",), used=(b"consent of 4",))
    work.done(gallery)
    gallery.close()
    gallery = opened(folder / "gallery.db", work.element)
    gallery.erase_all([people[1], people[3]], lambda one: b"receipt of " + one.payer.encode())
    work.done(gallery)
    gallery.close()


def migration(folder: Path) -> None:
    """Open an older gallery, of the element whose state lies beside the folder."""
    state, promised = pickle.loads(Path(f"{folder}.state").read_bytes())
    work = Workload(folder, state)
    work._note("held", promised)
    gallery = opened(folder / "gallery.db", work.element)
    work.done(gallery)
    gallery.close()


if __name__ == "__main__":
    {"everything": everything, "migration": migration}[sys.argv[2]](Path(sys.argv[1]))
