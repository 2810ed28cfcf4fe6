"""A root, sets of keys by it, and the beacons of those keys: what a terminal is told, made to order."""

import tempfile
from functools import cache
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec

from firmware.payment import cose, schema
from firmware.payment.beacon import Beacons
from firmware.payment.clock import TrustedClock
from firmware.payment.errors import PaymentError
from firmware.payment.keyset import BackendKeys
from firmware.payment.messages import NO_ID, Allowance, Beacon, Environment
from firmware.payment.trust import key_id, load_trust
from hil.backend.keys import create_root, sign_key_set, signer

T0 = 1_800_000_000
DAY_S = 86_400
NOTHING = Allowance(
    id=NO_ID, currency="XXX", exponent=0, payment_minor=0, payer_minor=0, terminal_minor=0, hold_s=0, expires_at=T0
)


def new_key() -> ec.EllipticCurvePrivateKey:
    """A signing key."""
    return ec.generate_private_key(ec.SECP256R1())


@cache
def _root(environment: Environment) -> tuple[ec.EllipticCurvePrivateKey, bytes]:
    """One for all: a demonstration's takes a few hundred draws."""
    with tempfile.TemporaryDirectory() as folder:
        root = create_root(Path(folder) / "root.key", Path(folder) / "root.json", environment)
        return root, (Path(folder) / "root.json").read_bytes()


class Rooted:
    """A terminal's root, keys, clock and questions; `elapsed` and `time_floor` are the test's."""

    def __init__(self, folder: Path, environment: Environment = "demo") -> None:
        self.folder, self.environment = folder, environment
        self.elapsed, self.time_floor = 1000.0, 0
        self.root, pinned = _root(environment)
        (folder / "root.json").write_bytes(pinned)
        self.key, self.other = new_key(), new_key()
        (folder / "first.cose").write_bytes(self.set_of(1))
        self.start()

    def start(self) -> None:
        """As at a start of `core`: only files are left."""
        self.clock = TrustedClock(self, lambda: self.elapsed)
        pinned = load_trust(self.folder / "root.json")
        first, kept = self.folder / "first.cose", self.folder / "kept.cose"
        self.keys = BackendKeys(pinned, self.environment, first, kept, self.clock)
        self.beacons = Beacons("till-1", self.keys, lambda: self.elapsed)

    def set_of(
        self,
        version: int,
        *keys: ec.EllipticCurvePrivateKey,
        now: int = T0,
        life_s: int = 90 * DAY_S,
        root: ec.EllipticCurvePrivateKey | None = None,
        environment: Environment | None = None,
    ) -> bytes:
        """A set of keys as the root signs it; of the one key where none is given."""
        public = [key.public_key() for key in keys or (self.key,)]
        of = environment or self.environment
        return sign_key_set(root or self.root, public, version=version, now=now, life_s=life_s, environment=of)

    def believes(self, key: ec.EllipticCurvePrivateKey) -> str:
        """Empty where this key's signatures count, else the code."""
        try:
            self.keys.resolve(key_id(key.public_key()))
        except PaymentError as error:
            return error.code
        return ""

    def beacon(
        self,
        nonce: bytes,
        time_s: int = T0,
        terminal: str = "till-1",
        key: ec.EllipticCurvePrivateKey | None = None,
        allowance: Allowance = NOTHING,
        counter: int = 0,
    ) -> bytes:
        """A beacon by the backend's key."""
        by = key or self.key
        beacon = Beacon(terminal=terminal, nonce=nonce, time=time_s, counter=counter, allowance=allowance)
        return cose.sign(schema.encode(beacon), signer(by), key_id(by.public_key()), Beacon.TYP)

    def hear(self, envelope: bytes) -> str:
        """Take a beacon as `core` does. Empty where it counts, else the code."""
        try:
            beacon = self.beacons.check(envelope, self.time_floor)
        except PaymentError as error:
            return error.code
        self.time_floor = max(self.time_floor, beacon.time)
        self.beacons.take(beacon, self.clock)
        return ""

    def taken(self, envelope: bytes) -> str:
        """Take a key set. Empty where it counts or is known, else the code."""
        try:
            self.keys.take(envelope)
        except PaymentError as error:
            return error.code
        return ""
