"""How easily two galleries of the same people are linked, whose templates a secret rotation each has turned.

The attacker has both galleries in the clear, as no one has while they are sealed, but not the rotations. All attacks
succeed, which is the point: a rotation keeps angles. What keeps galleries from being linked is the encryption.

- Distance profiles: the angles between one person's own templates are the same in both galleries, where both hold the
  same enrolment (two purposes; or a purpose before and after its rotation was drawn anew). Nobody need be known.
- Known pairs: from people the attacker knows in both, the rotation follows by least squares (orthogonal Procrustes,
  Schönemann 1966), and with it everybody else. Works on enrolments of different days too.

People are drawn with the spread that was measured on rendered people (`hil.rig.bench_search`), not recorded.
"""

import secrets
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from firmware.gallery.memory import SecretRows
from firmware.gallery.sealed import DTYPE, KEYS_BYTES, NONCE_BYTES, Vault
from firmware.gallery.transform import SEED_BYTES, Transform
from firmware.vision.calibration import load_calibration
from hil.rig.bench_search import Crowd

PEOPLE = 2000
KNOWN = (5, 20, 50, 100)
F32 = NDArray[np.float32]

SAME, LATER = "one enrolment", "two enrolments"


@dataclass(frozen=True, slots=True)
class Linked:
    """One attack: of `people` who were not known before, how many it named rightly."""

    galleries: str
    attack: str
    known: int
    linked: int
    people: int

    @property
    def rate(self) -> float:
        """Their share."""
        return self.linked / self.people


def measure(people: int = PEOPLE, seed: int = 0) -> dict[str, Any]:
    """Attack galleries of `people` drawn people, and name what each attack came to."""
    crowd = Crowd(load_calibration("virtual"), seed)
    once, centres = crowd.people(people)
    views = range(once.shape[2])
    again = np.ascontiguousarray(np.stack([crowd.looks(centres) for _ in views], axis=2))
    payment = turned(once, "payment")
    rng = np.random.default_rng(seed)
    rows = []
    for name, templates in ((SAME, once), (LATER, again)):
        door = turned(templates, "door")
        order = rng.permutation(people)
        rows.append(Linked(name, "not turned at all", 0, _named(_flat(once), _flat(templates)[order], order), people))
        rows.append(
            Linked(name, "turned, compared as they are", 0, _named(_flat(payment), _flat(door)[order], order), people)
        )
        profiles = _named_by_distance(profile(payment), profile(door)[order], order)
        rows.append(Linked(name, "distance profiles", 0, profiles, people))
        rows += [_procrustes(name, payment, door, known, rng) for known in KNOWN if known < people]
    rows.append(_sealed(once, people))
    return {
        "people": people,
        "simulated": True,
        "chance": 1 / people,
        "attacks": [asdict(row) | {"rate": round(row.rate, 4)} for row in rows],
    }


def turned(templates: F32, purpose: str) -> F32:
    """(N, 2, 3, 128) templates as a gallery of `purpose` holds them before they are sealed."""
    transform, out = Transform(secrets.token_bytes(SEED_BYTES), purpose), np.empty_like(templates)
    for one, other in zip(templates, out, strict=True):
        transform.turn(one, out=other)
    return out


def profile(templates: F32) -> F32:
    """(N, 6) cosines between the three templates of each modality of each person."""
    a, b, c = (templates[:, :, view] for view in range(3))
    return np.concatenate([np.sum(one * other, axis=2) for one, other in ((a, b), (a, c), (b, c))], axis=1)


def rotations(known_a: F32, known_b: F32) -> F32:
    """(2, 128, 128): what turns the known people of one gallery into those of the other, best in least squares."""
    found = []
    for modality in range(known_a.shape[1]):
        a, b = (known[:, modality].reshape(-1, known.shape[-1]) for known in (known_a, known_b))
        u, _, v = np.linalg.svd(a.T @ b)
        found.append(u @ v)
    return np.stack(found).astype(np.float32)


def show(console: Console, report: dict[str, Any]) -> None:
    """Print what was measured."""
    table = Table("galleries", "attack", "people known", "others linked", "rate")
    for row in report["attacks"]:
        count = f"{row['linked']} of {row['people']}"
        table.add_row(row["galleries"], row["attack"], str(row["known"]), count, f"{row['rate']:.1%}")
    console.print(table)
    console.print(
        f"{report['people']} drawn people, each gallery turned by a secret rotation of its own; chance is "
        f"{report['chance']:.2%}. The rotation does not make galleries unlinkable: the encryption is the protection."
    )


def _procrustes(name: str, a: F32, b: F32, known: int, rng: np.random.Generator) -> Linked:
    order = rng.permutation(len(a))
    some, others = order[:known], order[known:]
    turn = rotations(a[some], b[some])
    moved = np.matmul(a[others], turn)
    shuffled = rng.permutation(len(others))
    linked = _named(_flat(moved), _flat(b[others])[shuffled], shuffled)
    return Linked(name, "known pairs", known, linked, len(others))


def _sealed(templates: F32, people: int) -> Linked:
    """The nearest ciphertext, bit by bit: both galleries as they lie on a disk."""
    people = min(people, 500)
    galleries = []
    cells, scratch = SecretRows(1, DTYPE), SecretRows(1, DTYPE)
    cells.take()
    scratch.take()
    for purpose in ("payment", "door"):
        transform, blobs = Transform(secrets.token_bytes(SEED_BYTES), purpose), []
        for number in range(people):
            cells.rows["key"][0] = np.frombuffer(secrets.token_bytes(KEYS_BYTES), np.uint8)
            cells.rows["templates"][0] = templates[number]
            vault = Vault(f"{number}", cells.rows)
            blobs.append(vault.templates("payer", purpose, transform, scratch)[NONCE_BYTES:])
        galleries.append(np.unpackbits(np.frombuffer(b"".join(blobs), np.uint8).reshape(people, -1), axis=1))
    cells.close()
    scratch.close()
    a, b = (bits.astype(np.float32) * 2 - 1 for bits in galleries)
    return Linked(SAME, "sealed, nearest bits", 0, _named(a, b, np.arange(people)), people)


def _flat(templates: F32) -> F32:
    return templates.reshape(len(templates), -1)


def _named(a: F32, b: F32, order: NDArray[np.int64]) -> int:
    """How many rows of `b` have the largest product with the row of `a` that they are (`order`)."""
    return int(np.sum(np.argmax(b @ a.T, axis=1) == order))


def _named_by_distance(a: F32, b: F32, order: NDArray[np.int64]) -> int:
    squares = (
        np.sum(b**2, axis=1)[:, None] + np.sum(a**2, axis=1)[None] - 2 * b.astype(np.float64) @ a.T.astype(np.float64)
    )
    return int(np.sum(np.argmin(squares, axis=1) == order))
