"""A TPM 2.0 as secure element: identity and counters inside it, sealing keys that it opens on this platform only.

Rules kept here:
- Options: `tcti`, how to reach the TPM, e.g. `device:/dev/tpmrm0`; `folder`, where its sealed blobs lie; `pcrs`, the
  platform registers sealing is bound to, `7` (Secure Boot) unless told otherwise.
- Platform-bound sealing is declared only where something was measured into each of those registers.
- No attestation: a quote is not made, and so not declared.
- A folder is of one TPM. With another, or with the same one cleared, it does not open.
- Nor does it where the board was started another way than when the element was made: no key is used there.
"""

import re
import secrets
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial, wraps
from pathlib import Path
from threading import RLock
from typing import Any, Concatenate, ParamSpec, TypeVar

import msgspec
from cryptography.exceptions import InvalidTag

from drivers.secure_element.interface import (
    MAX_PLAINTEXT_BYTES,
    MAX_RANDOM_BYTES,
    Capability,
    SecureElement,
    SecureElementError,
)
from drivers.secure_element.tpm_epochs import TpmEpochs
from drivers.secure_element.tpm_folder import VERSION, Device, Folder, Sealed
from drivers.secure_element.tpm_identity import TpmIdentity
from drivers.secure_element.tpm_link import Tpm
from drivers.secure_element.tpm_objects import (
    COUNTER,
    EPOCHS,
    IDENTITIES,
    NV_INDICES,
    ROOT,
    STATE,
    RefusedError,
    demand_platform,
    handle_of,
    is_complete,
    make_counter,
    make_identity,
    make_root,
    make_sealed,
    make_state,
    open_sealed,
    read_counter,
    remove,
)

NONCE, TAG = 12, 16
RANDOM_AT_ONCE = 32  # every TPM gives as much as its largest digest
PCRS = "7"
_PCRS = re.compile(r"(?:[0-9]|1[0-9]|2[0-3])(?:,(?:[0-9]|1[0-9]|2[0-3]))*\Z")
# as they are after a reset, where nothing has been measured
_UNMEASURED = (bytes(32), b"\xff" * 32)


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How to reach the TPM and where its folder lies."""

    tcti: str
    folder: str
    pcrs: str = PCRS


_Given = ParamSpec("_Given")
_Answer = TypeVar("_Answer")


def _in_turn(
    method: "Callable[Concatenate[TpmSecureElement, _Given], _Answer]",
) -> "Callable[Concatenate[TpmSecureElement, _Given], _Answer]":
    """One thread at a time: the TPM answers one command after the other, and has few places for what they load."""

    @wraps(method)
    def in_turn(element: "TpmSecureElement", /, *given: _Given.args, **named: _Given.kwargs) -> _Answer:
        with element._turn:
            return method(element, *given, **named)

    return in_turn


class TpmSecureElement(SecureElement):
    """The interface over a TPM and its folder, both owned until `close`."""

    def __init__(self, tpm: Tpm, folder: Folder, pcrs: str) -> None:
        """Raises SecureElementError: the folder is of another TPM, damaged, or the TPM was cleared."""
        self._tpm, self._folder, self._turn = tpm, folder, RLock()
        measured = _measured(tpm, pcrs)
        device = folder.device()
        if not is_complete(tpm):
            raise SecureElementError(
                f"{folder.path}: this TPM holds no element of ours: it was cleared, or is another than the folder's; "
                "make a new one with `tessera element create` in another folder, register it and enrol again"
            )
        root = handle_of(tpm, ROOT)
        if bytes(tpm.ask("tr_get_name", root)) != device.root:
            raise SecureElementError(f"{folder.path}: is of another TPM; put that one back, or take its own folder")
        tpm.protect(root)
        auth = _authorization(tpm, root, device)
        self._identity = TpmIdentity(tpm, root, auth)
        self._epochs = TpmEpochs(tpm, root, folder, folder.sealed(), auth, pcrs)
        self._counter = handle_of(tpm, COUNTER, auth)
        can = {Capability.HARDWARE_KEY, Capability.MONOTONIC_COUNTER, Capability.KEY_DESTRUCTION}
        self._capabilities = frozenset(can | ({Capability.PLATFORM_SEALING} if measured else set()))

    @property
    def capabilities(self) -> frozenset[Capability]:
        """All but attestation; platform-bound sealing where something was measured."""
        return self._capabilities

    @property
    def public_key(self) -> bytes:
        """DER SubjectPublicKeyInfo, P-256."""
        return self._identity.public_key

    @_in_turn
    def sign(self, message: bytes) -> bytes:
        """ECDSA P-256 with SHA-256 over `message`. Returns 64 bytes, r || s."""
        return self._identity.sign(message)

    @_in_turn
    def random(self, size: int) -> bytes:
        """`size` bytes (1 to 1024) of the TPM's generator."""
        if not 1 <= size <= MAX_RANDOM_BYTES:
            raise SecureElementError(f"random: {size} bytes asked, 1 to {MAX_RANDOM_BYTES} allowed")
        data = b""
        while len(data) < size:
            wanted = min(RANDOM_AT_ONCE, size - len(data))
            data += bytes(self._tpm.ask("get_random", wanted, session1=self._tpm.session))
        return data

    @_in_turn
    def prepare_epoch(self, number: int) -> None:
        """As the interface says; at most 8 are in force."""
        self._epochs.prepare(number)

    @_in_turn
    def end_epochs_before(self, number: int) -> None:
        """Raise the TPM's counter above every earlier epoch: this TPM opens none of them again."""
        self._epochs.end_before(number)

    @_in_turn
    def seal(self, plaintext: bytes, associated: bytes, epoch: int) -> bytes:
        """AES-256-GCM under a random nonce, which stands in front."""
        if len(plaintext) > MAX_PLAINTEXT_BYTES:
            raise SecureElementError(f"seal: {len(plaintext)} bytes given, {MAX_PLAINTEXT_BYTES} allowed")
        nonce = secrets.token_bytes(NONCE)
        with self._epochs.key(epoch) as aead:
            return nonce + aead.encrypt(nonce, plaintext, associated)

    @_in_turn
    def unseal(self, sealed: bytes, associated: bytes, epoch: int) -> bytes:
        """Open what `seal` made. Raises EpochEndedError, SecureElementError."""
        with self._epochs.key(epoch) as aead:
            if not NONCE + TAG <= len(sealed) <= NONCE + MAX_PLAINTEXT_BYTES + TAG:
                raise SecureElementError(f"a sealed blob of {len(sealed)} bytes is none of ours")
            try:
                return aead.decrypt(sealed[:NONCE], sealed[NONCE:], associated)
            except InvalidTag as error:
                raise SecureElementError(
                    "the sealed blob is damaged, of another element, or bound to other data"
                ) from error

    @_in_turn
    def prepare_identity(self) -> bytes:
        """Make the next identity in the TPM, or find the one that waits. DER, as `public_key`."""
        return self._identity.prepare()

    @_in_turn
    def prove_identity(self, message: bytes) -> bytes:
        """Sign as `sign` does, by the identity that waits."""
        return self._identity.prove(message)

    @_in_turn
    def adopt_identity(self) -> None:
        """Put the identity that waits in force; the TPM forgets the one before it."""
        self._identity.adopt()

    @_in_turn
    def counter(self) -> int:
        """The TPM's counter. It begins anywhere, and survives everything but another TPM."""
        return read_counter(self._tpm, self._counter)

    @_in_turn
    def advance(self) -> int:
        """Increment it; its memory wears, so not for every signature."""
        self._tpm.ask("nv_increment", self._counter, session1=self._tpm.session)
        return self.counter()

    @_in_turn
    def close(self) -> None:
        """Flush, disconnect, and let go of the folder. Idempotent."""
        self._tpm.close()
        self._folder.close()


def provision(options: dict[str, str | int | float | bool]) -> TpmSecureElement:
    """Make an identity, the counters and epoch 1 in a TPM that holds none of ours. Cut short, it can be asked again.

    Raises:
        SecureElementError: the TPM or the folder holds an element already; no TPM answers; or its owner's
            authorization is set.
    """
    where = _options(options)
    folder = Path(where.folder)
    with ExitStack() as held:
        tpm, owned = _hold(held, folder, where.tcti, make=True)
        if is_complete(tpm):
            raise SecureElementError(
                f"tcti {where.tcti}: this TPM holds an element already, and an old key is not replaced. To give it up "
                f"for ever: tpm2_nvundefine {STATE:#x}"
            )
        _measured(tpm, where.pcrs)
        for handle in (*NV_INDICES, *IDENTITIES, ROOT):
            remove(tpm, handle)
        root = make_root(tpm)
        name, auth = bytes(tpm.ask("tr_get_name", root)), secrets.token_bytes(32)
        if owned.made() and owned.device().root != name:
            raise SecureElementError(f"{folder}: holds an element of another TPM; take another folder")
        tpm.protect(root)
        make_identity(tpm, root, auth, IDENTITIES[0])
        make_counter(tpm, COUNTER, auth)
        make_counter(tpm, EPOCHS, auth)
        sealed = make_sealed(tpm, root, auth, partial(demand_platform, tpm, pcrs=where.pcrs))
        owned.write(Device(VERSION, name, where.pcrs, *sealed))
        TpmEpochs(tpm, root, owned, Sealed(), auth, where.pcrs).prepare(1)
        make_state(tpm, auth)
    return open_secure_element(options)


def open_secure_element(options: dict[str, str | int | float | bool]) -> TpmSecureElement:
    """Open the TPM and the folder named in `options`.

    Raises:
        SecureElementError: naming what is wrong and what to do.
    """
    where = _options(options)
    with ExitStack() as held:
        element = TpmSecureElement(*_hold(held, Path(where.folder), where.tcti, make=False), where.pcrs)
        held.pop_all()
    return element


def _options(options: dict[str, str | int | float | bool]) -> Options:
    try:
        return msgspec.convert(options, Options, strict=True)
    except msgspec.ValidationError as error:
        raise SecureElementError(f"secure_element.options: {error}") from error


def _hold(held: ExitStack, folder: Path, tcti: str, *, make: bool) -> tuple[Tpm, Folder]:
    """Take the folder, then the TPM; `held` lets go of both."""
    owned = Folder(folder, make=make)
    held.callback(owned.close)
    tpm = Tpm(tcti)
    held.callback(tpm.close)
    return tpm, owned


def _authorization(tpm: Tpm, root: Any, device: Device) -> bytes:
    """What the identity and the counters ask for. Raises SecureElementError: this is not the platform it is for."""
    demand = partial(demand_platform, tpm, pcrs=device.pcrs)
    try:
        return open_sealed(tpm, root, device.private, device.public, demand)
    except RefusedError as error:
        raise SecureElementError(
            f"PCR {device.pcrs} is not what it was when the element was made: the terminal was started with other "
            "firmware or other Secure Boot keys, and no key of it is used. Start it as it was started before; if the "
            f"change was yours, give the element up: tpm2_nvundefine {STATE:#x}, then `tessera element create` in "
            "another folder, register its key and enrol again"
        ) from error


def _measured(tpm: Tpm, pcrs: str) -> bool:
    """Whether something was measured into each of the registers. Raises SecureElementError: the TPM lacks one."""
    if not _PCRS.match(pcrs):
        raise SecureElementError(f"secure_element.options: pcrs {pcrs!r}: numbers 0 to 23 with commas between, as 4,7")
    values = []
    for pcr in pcrs.split(","):
        _, _, read = tpm.ask("pcr_read", f"sha256:{pcr}")
        if not len(read):
            raise SecureElementError(
                f"PCR {pcr}: this TPM keeps no SHA-256 of it; switch its bank on in the firmware, or choose other pcrs"
            )
        values.append(bytes(read[0]))
    return not any(value in _UNMEASURED for value in values)
