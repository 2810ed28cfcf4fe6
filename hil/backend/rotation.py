"""How the backend's keys follow each other: each step is one file replaced, and a running backend takes it up.

Rules kept here:
- A new key is in the key set before it signs anything, so that terminals know it before they meet it.
- The key in use is never taken out of the set; the one before it is, once nothing it signed is on its way any more.
- A set's version is one above the last. Where no set is there, or an old copy, nobody knows which was the last, and
  terminals that know a higher one take nothing: then a person says the version. Nor does anybody know then which keys
  were revoked: such a set has the key in use and no other.
- The root's private key is needed for a new set only.
"""

import time
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec

from firmware.payment import schema
from firmware.payment.errors import PaymentError
from firmware.payment.messages import Environment, KeySet
from firmware.payment.trust import key_id, load_public_key, load_trust
from hil.backend.installation import load_service_config, read_key_set
from hil.backend.keys import create_backend_key, load_backend_key, replace, sign_key_set

# what a person may say; a set may have twice that, so that as many can follow
MOST_VERSION = 2**30
_FIRST = "the very first is `--version 1`; where it was lost, N surely above all before it, or no terminal takes it"


@dataclass(frozen=True)
class KeyFiles:
    """Where a backend's keys lie: the one in use, the next, the set, and the root that is pinned."""

    key: Path
    key_set: Path
    root: Path
    environment: Environment

    @classmethod
    def of(cls, config: Path) -> "KeyFiles":
        """As a backend's configuration names them. Raises PaymentError `trust`."""
        named, base = load_service_config(config), config.resolve().parent
        return cls(base / named.key, base / named.key_set, base / named.root, named.environment)

    @property
    def following(self) -> Path:
        """The key that is to be used next."""
        return self.key.with_name(self.key.name + ".next")

    def in_force(self) -> KeySet:
        """The set as it is. Raises PaymentError."""
        return read_key_set(self.key_set, self.root, self.environment)[1]


def renew(files: KeyFiles, root: Path, version: int | None = None) -> KeySet:
    """Sign the keys of the set again, for another while; where a version is said, the key in use and no other.

    Args:
        files: where they lie.
        root: the root's private key.
        version: of the new set, where the last is not known: there is none, or one that was put back from a copy.

    Raises:
        PaymentError: a file cannot be used, or terminals could not take a set of this version; nothing was changed.
    """
    known = files.in_force() if files.key_set.exists() else None
    if version is None:
        if known is None:
            raise PaymentError("key_set", f"{files.key_set}: is not there; {_FIRST}")
        return _sign(files, root, [load_public_key(key) for key in known.keys], known.version + 1)
    if known is not None and version <= known.version:
        raise PaymentError("key_set", f"version {version} does not follow {known.version}, which is in force")
    if version > MOST_VERSION:
        raise PaymentError("key_set", f"version {version}: at most {MOST_VERSION}, so that others can follow it")
    if not files.key.exists():
        create_backend_key(files.key)
    return _sign(files, root, [load_backend_key(files.key).public_key()], version)


def rotate(files: KeyFiles, root: Path) -> KeySet:
    """Make the next key and put it into the set, beside the one in use.

    Raises:
        PaymentError: a file cannot be used, or the next key is in the set already.
    """
    known = files.in_force()
    if not files.following.exists():
        create_backend_key(files.following)
    coming = load_backend_key(files.following).public_key()
    keys = _by_id(known)
    if key_id(coming) in keys:
        raise PaymentError("key_set", f"{files.following}: is in the set already; `tessera backend keys switch`")
    return _sign(files, root, [*keys.values(), coming], known.version + 1)


def switch(files: KeyFiles) -> bytes:
    """Use the next key from now on; the one before is gone. Returns the new one's id.

    Raises:
        PaymentError: there is no next key, or it is not in the set.
    """
    if not files.following.exists():
        raise PaymentError("key_set", f"{files.following}: there is no next key; `tessera backend keys rotate`")
    coming = key_id(load_backend_key(files.following).public_key())
    if coming not in _by_id(files.in_force()):
        raise PaymentError("key_set", f"{files.following}: not in the set yet; `tessera backend keys rotate`")
    files.following.replace(files.key)
    return coming


def revoke(files: KeyFiles, root: Path, kid: bytes) -> KeySet:
    """Take a key out of the set: nothing it signs or signed is believed by terminals from then on.

    Raises:
        PaymentError: it is the key in use, or not in the set.
    """
    known = files.in_force()
    keys = _by_id(known)
    if kid not in keys:
        raise PaymentError("key_set", f"no key {kid.hex()} is in the set")
    if kid == key_id(load_backend_key(files.key).public_key()):
        raise PaymentError("key_set", f"{kid.hex()} is in use; `tessera backend keys rotate` and `switch` first")
    made = _sign(files, root, [key for found, key in keys.items() if found != kid], known.version + 1)
    if files.following.exists() and key_id(load_backend_key(files.following).public_key()) == kid:
        files.following.unlink()
    return made


def _by_id(known: KeySet) -> dict[bytes, ec.EllipticCurvePublicKey]:
    keys = [load_public_key(key) for key in known.keys]
    return {key_id(key): key for key in keys}


def _sign(files: KeyFiles, root: Path, keys: list[ec.EllipticCurvePublicKey], version: int) -> KeySet:
    now = int(time.time())
    envelope = sign_key_set(load_backend_key(root), keys, version=version, now=now, environment=files.environment)
    # by another root than the pinned one it would shut out every terminal
    _, made = schema.verify(envelope, KeySet, load_trust(files.root).resolve)
    replace(files.key_set, envelope)
    return made
