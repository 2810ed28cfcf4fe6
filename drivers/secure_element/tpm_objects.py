"""What Tessera keeps in a TPM: where it lies and what it is made like.

Rules kept here:
- Everything is fixed to this TPM and cannot be duplicated out of it.
- What is used needs an authorization value that only the element's folder holds, sealed to the platform: another
  process that can reach the TPM, or another system on a stolen board, neither signs nor counts. None of it falls under
  the TPM's lock-out, whose counting others could exhaust.
- A value that counts is of the TPM's own kind for counters: undefined and defined again, even by the TPM's owner, it
  begins above the highest that any counter of this TPM ever had.
"""

from collections.abc import Callable
from typing import Any

from tpm2_pytss import (
    ESYS_TR,
    TPM2_ALG,
    TPM2_NT,
    TPM2_RC,
    TPM2_SE,
    TPM2B_AUTH,
    TPM2B_NV_PUBLIC,
    TPM2B_PRIVATE,
    TPM2B_PUBLIC,
    TPM2B_SENSITIVE_CREATE,
    TPM2B_SENSITIVE_DATA,
    TPMA_NV,
    TPMA_OBJECT,
    TPMS_KEYEDHASH_PARMS,
    TPMS_NV_PUBLIC,
    TPMS_SENSITIVE_CREATE,
    TPMT_KEYEDHASH_SCHEME,
    TPMT_PUBLIC,
    TPMU_PUBLIC_PARMS,
    TSS2_Exception,
)

from drivers.secure_element.interface import SecureElementError
from drivers.secure_element.tpm_link import Tpm, TpmError

# In the ranges of the owner: persistent objects 0x81000000 to 0x817FFFFF, NV indices 0x01800000 to 0x01BFFFFF.
ROOT = 0x81545300
IDENTITIES = (0x81545301, 0x81545302)
STATE = 0x01855300  # one byte: see `tpm_identity`. Written last, it says that the element is complete
EPOCHS = 0x01855301  # counts ended epochs
COUNTER = 0x01855302  # the element's monotonic counter
NV_INDICES = (STATE, EPOCHS, COUNTER)

Demand = Callable[[Any], None]  # adds what is demanded to the policy session it is given

# a comparison with the counter that fails, and a digest that is not the object's
_REFUSED = frozenset({TPM2_RC.POLICY, TPM2_RC.POLICY_FAIL})
_FIXED = TPMA_OBJECT.FIXEDTPM | TPMA_OBJECT.FIXEDPARENT | TPMA_OBJECT.NODA
_MADE_HERE = _FIXED | TPMA_OBJECT.SENSITIVEDATAORIGIN | TPMA_OBJECT.USERWITHAUTH


class RefusedError(SecureElementError):
    """What a sealed key demands is not so."""


def make_root(tpm: Tpm) -> Any:
    """Derive the storage root key from the owner's seed and keep it at `ROOT`."""
    public = TPM2B_PUBLIC.parse(
        "ecc:aes128cfb", objectAttributes=_MADE_HERE | TPMA_OBJECT.RESTRICTED | TPMA_OBJECT.DECRYPT
    )
    key, *_ = tpm.ask("create_primary", TPM2B_SENSITIVE_CREATE(), public)
    with tpm.loaded(key):
        return tpm.ask("evict_control", ESYS_TR.OWNER, key, ROOT)


def make_identity(tpm: Tpm, root: Any, auth: bytes, at: int) -> None:
    """Make a P-256 signing key and keep it at `at`. Its private part never exists outside the TPM, not even wrapped."""
    public = TPM2B_PUBLIC.parse("ecc256:ecdsa-sha256", objectAttributes=_MADE_HERE | TPMA_OBJECT.SIGN_ENCRYPT)
    sensitive = TPM2B_SENSITIVE_CREATE(TPMS_SENSITIVE_CREATE(userAuth=TPM2B_AUTH(auth)))
    private, made, *_ = tpm.ask("create", root, sensitive, public, session1=tpm.session)
    with tpm.loaded(tpm.ask("load", root, private, made, session1=tpm.session)) as key:
        tpm.ask("evict_control", ESYS_TR.OWNER, key, at, session1=tpm.session)


def make_sealed(tpm: Tpm, root: Any, secret: bytes, demand: Demand) -> tuple[bytes, bytes]:
    """Seal `secret`; nothing but meeting the demand opens it. Returns its private and public parts."""
    with tpm.policy(TPM2_SE.TRIAL) as session:
        demand(session)
        policy = bytes(tpm.ask("policy_get_digest", session))
    public = TPM2B_PUBLIC(
        TPMT_PUBLIC(
            type=TPM2_ALG.KEYEDHASH,
            nameAlg=TPM2_ALG.SHA256,
            objectAttributes=_FIXED,
            authPolicy=policy,
            parameters=TPMU_PUBLIC_PARMS(
                keyedHashDetail=TPMS_KEYEDHASH_PARMS(scheme=TPMT_KEYEDHASH_SCHEME(scheme=TPM2_ALG.NULL))
            ),
        )
    )
    sensitive = TPM2B_SENSITIVE_CREATE(TPMS_SENSITIVE_CREATE(data=TPM2B_SENSITIVE_DATA(secret)))
    private, made, *_ = tpm.ask("create", root, sensitive, public, session1=tpm.session)
    return private.marshal(), made.marshal()


def open_sealed(tpm: Tpm, root: Any, private: bytes, public: bytes, demand: Demand) -> bytes:
    """Open what `make_sealed` made.

    Raises:
        RefusedError: the demand is not met.
        SecureElementError: the parts are damaged.
    """
    try:
        parts = TPM2B_PRIVATE.unmarshal(private)[0], TPM2B_PUBLIC.unmarshal(public)[0]
    except TSS2_Exception as error:
        raise SecureElementError("a sealed key is damaged; put back the folder's last copy") from error
    try:
        loaded = tpm.loaded(tpm.ask("load", root, *parts, session1=tpm.session))
        with loaded as sealed, tpm.policy(TPM2_SE.POLICY) as session:
            demand(session)
            return bytes(tpm.ask("unseal", sealed, session1=session))
    except TpmError as error:
        if error.code in _REFUSED:
            raise RefusedError(str(error)) from error
        raise


def demand_platform(tpm: Tpm, session: Any, pcrs: str) -> None:
    """Demand the platform registers as they are now."""
    tpm.ask("policy_pcr", session, None, f"sha256:{pcrs}")


def make_state(tpm: Tpm, auth: bytes) -> None:
    """Define the byte at `STATE` and write 0 to it."""
    _define(tpm, STATE, auth, TPMA_NV(0), 1)
    tpm.ask("nv_write", handle_of(tpm, STATE, auth), b"\0", session1=tpm.session)


def make_counter(tpm: Tpm, at: int, auth: bytes) -> int:
    """Define a counter and return its first value."""
    _define(tpm, at, auth, TPMA_NV(TPM2_NT.COUNTER << TPMA_NV.TPM2_NT_SHIFT), 8)
    counter = handle_of(tpm, at, auth)
    tpm.ask("nv_increment", counter, session1=tpm.session)
    return read_counter(tpm, counter)


def is_complete(tpm: Tpm) -> bool:
    """Whether this TPM holds an element: the byte at `STATE` is there and was written."""
    if not tpm.holds(STATE):
        return False
    public, _ = tpm.ask("nv_read_public", tpm.ask("tr_from_tpmpublic", STATE))
    return bool(public.nvPublic.attributes & TPMA_NV.WRITTEN)


def read_counter(tpm: Tpm, counter: Any) -> int:
    """The value of an NV counter."""
    return int.from_bytes(bytes(tpm.ask("nv_read", counter, 8, session1=tpm.session)), "big")


def handle_of(tpm: Tpm, handle: int, auth: bytes = b"") -> Any:
    """What stands at a persistent handle or an NV index, with the authorization value to use it."""
    found = tpm.ask("tr_from_tpmpublic", handle, session1=tpm.session)
    tpm.ask("tr_set_auth", found, auth)
    return found


def remove(tpm: Tpm, handle: int) -> None:
    """Remove a persistent object or an NV index, where it is there."""
    if not tpm.holds(handle):
        return
    found = tpm.ask("tr_from_tpmpublic", handle)
    if handle in NV_INDICES:
        tpm.ask("nv_undefine_space", found)
    else:
        tpm.ask("evict_control", ESYS_TR.OWNER, found, handle)


def _define(tpm: Tpm, at: int, auth: bytes, kind: TPMA_NV, size: int) -> None:
    attributes = TPMA_NV.AUTHREAD | TPMA_NV.AUTHWRITE | TPMA_NV.NO_DA | kind
    public = TPM2B_NV_PUBLIC(TPMS_NV_PUBLIC(nvIndex=at, nameAlg=TPM2_ALG.SHA256, attributes=attributes, dataSize=size))
    tpm.ask("nv_define_space", TPM2B_AUTH(auth), public, session1=tpm.session)
