"""Which terminals are known, as a file: registered, given another key, revoked.

Rules kept here:
- A terminal is registered by a certificate request that its device key signed, in its name: nobody registers a key
  that no terminal holds.
- A key counts once: one that was revoked, replaced or suspended never comes back, for no terminal.
"""

import time
from pathlib import Path

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from firmware.payment.errors import PaymentError
from firmware.payment.trust import key_id, load_pem
from hil.backend.certifier import requested_key
from hil.backend.keys import load_registrations, registration, save_registrations, spki
from hil.backend.policy import Registration
from hil.backend.terminals import Terminals


def register(path: Path, terminal: str, merchant: str, profile: str, request: Path, *, counter: bool) -> Registration:
    """Register a terminal; `counter` where its element counts in hardware.

    Raises:
        PaymentError: `trust`, it is registered already; or the request or the file cannot be used.
    """
    known = load_registrations(path) if path.exists() else []
    if any(each.terminal == terminal for each in known):
        raise PaymentError("trust", f"{terminal} is registered already; another key: `tessera backend terminals rekey`")
    made = registration(terminal, merchant, profile, _requested(terminal, request))
    made = msgspec.convert(msgspec.to_builtins(made) | {"since": int(time.time()), "counter": counter}, Registration)
    _save(path, [*known, made], made)
    return made


def rekey(path: Path, terminal: str, request: Path, *, counter: bool) -> Registration:
    """Let a terminal go on with another key: the way out of a suspension and of a revocation. The old one is retired.

    `counter` where the element of the new key counts in hardware, whatever the one before it did.

    Raises:
        PaymentError: `trust`, no such terminal or no new key; or the request or the file cannot be used.
    """
    known = load_registrations(path)
    old = _find(known, terminal)
    fresh = registration(terminal, old.merchant, old.profile, _requested(terminal, request))
    made = msgspec.structs.replace(fresh, since=int(time.time()), counter=counter, retired=(*old.retired, _kid(old)))
    _save(path, [made if each is old else each for each in known], made)
    return made


def correct(path: Path, terminal: str, *, merchant: str | None, profile: str | None) -> Registration:
    """Change where a terminal stands, or its profile, or nothing; its key and since when it counts stay.

    Raises:
        PaymentError: `trust`, no such terminal; or it cannot be called so, or the file cannot be used.
    """
    known = load_registrations(path)
    old = _find(known, terminal)
    said = {"merchant": merchant or old.merchant, "profile": profile or old.profile}
    made = msgspec.convert(msgspec.to_builtins(old) | said, Registration)
    _save(path, [made if each is old else each for each in known], made)
    return made


def revoke(path: Path, terminal: str) -> Registration:
    """Let a terminal's key no longer count.

    Raises:
        PaymentError: `trust`, no such terminal; or it is written, and no backend can use the list it stands in.
    """
    known = load_registrations(path)
    old = _find(known, terminal)
    made = msgspec.structs.replace(old, revoked=True)
    written = [made if each is old else each for each in known]
    save_registrations(path, written)
    Terminals(written)
    return made


def _find(known: list[Registration], terminal: str) -> Registration:
    found = next((each for each in known if each.terminal == terminal), None)
    if found is None:
        raise PaymentError("trust", f"no terminal {terminal} is registered")
    return found


def _save(path: Path, registrations: list[Registration], made: Registration) -> None:
    if any(_kid(made) in each.retired for each in registrations):
        raise PaymentError("trust", f"the key {_kid(made)} was retired; a new one must be made on the terminal")
    Terminals(registrations)  # two of one name or under one key are refused
    save_registrations(path, registrations)


def _kid(known: Registration) -> str:
    return key_id(load_pem(known.public_key.encode(), known.terminal)).hex()


def _requested(terminal: str, request: Path) -> bytes:
    try:
        made = x509.load_pem_x509_csr(request.read_bytes())
    except (OSError, ValueError) as error:
        raise PaymentError("trust", f"{request}: not a certificate request (PEM): {error}") from error
    return spki(requested_key(terminal, made.public_bytes(Encoding.DER)))
