"""One connection to a TPM 2.0: commands, sessions, and what its refusals mean.

Rules kept here:
- What authorizes, and what is secret, crosses the bus in sessions salted to the storage root key: encrypted, and
  authenticated in both directions. Whose key that is, the caller pins (`protect`).
- A TPM that is busy is asked again, a bounded number of times. One that is gone is gone until a new start.
- Nothing transient outlives the command that needed it. What a killed owner left in a TPM without a resource manager
  is flushed when it is opened: there are three places for objects, and three for sessions.
"""

import os
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from tpm2_pytss import (
    ESAPI,
    ESYS_TR,
    TPM2_ALG,
    TPM2_CAP,
    TPM2_HC,
    TPM2_RC,
    TPM2_SE,
    TPMA_SESSION,
    TPMT_SYM_DEF,
    TPMU_SYM_KEY_BITS,
    TPMU_SYM_MODE,
    TSS2_Exception,
)

from drivers.secure_element.interface import SecureElementError, SecureElementGoneError

# The library would print each refusal to standard error, besides returning it.
os.environ.setdefault("TSS2_LOG", "all+none")

# Waits between tries, half a second in all: the library itself has tried five times before the first.
WAITS_S = (0.01, 0.02, 0.05, 0.1, 0.3)
BUSY = frozenset({TPM2_RC.RETRY, TPM2_RC.YIELDED, TPM2_RC.TESTING, TPM2_RC.NV_RATE, TPM2_RC.LOCKOUT, TPM2_RC.CANCELED})
# It failed its self-test, or was reset under us: the sessions are lost, and what was measured since may differ.
DEAD = frozenset({TPM2_RC.FAILURE, TPM2_RC.INITIALIZE})
UNAUTHORIZED = frozenset({TPM2_RC.AUTH_FAIL, TPM2_RC.BAD_AUTH})
_OWNERS = frozenset({"create_primary", "evict_control", "nv_define_space", "nv_undefine_space"})
_LAYER, _TCTI_LAYER, _NO_LAYER = 0xFF0000, 0x0A0000, 0x00FFFF
_MOST_HANDLES = 64
_FLUSH_CONTEXT, _NO_SESSIONS = 0x00000165, 0x8001


class TpmError(SecureElementError):
    """The TPM refused. `code` is its own, of which command parameter or session left out."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


class Tpm:
    """A TPM that answers. Close it.

    Attributes:
        session: ESYS_TR handle of the protecting session; `ESYS_TR.NONE` before `protect`.
    """

    def __init__(self, tcti: str, sleep: Callable[[float], None] = time.sleep) -> None:
        """Connect, e.g. to `device:/dev/tpmrm0`.

        Raises:
            SecureElementError: nothing answers there.
        """
        self._tcti, self._sleep, self._gone = tcti, sleep, ""
        self.session: Any = ESYS_TR.NONE
        self._root: Any = ESYS_TR.NONE
        self._esapi: Any = None
        try:
            self._esapi = ESAPI(tcti)
            self._flush_left_over()
        except (TSS2_Exception, SecureElementError) as error:
            self.close()
            raise SecureElementError(
                f"tcti {tcti}: no TPM answers: {error}; is it there, switched on in the firmware, and may we open it?"
            ) from error

    def ask(self, command: str, *arguments: Any, **keywords: Any) -> Any:
        """Have the method `command` of ESAPI executed, and return what it returns.

        Raises:
            TpmError: the TPM refuses, or has been busy for too long.
            SecureElementGoneError: it answers no more.
        """
        if self._gone:
            raise SecureElementGoneError(self._gone)
        if self._esapi is None:
            raise SecureElementError("the TPM is closed")
        for wait_s in (*WAITS_S, None):
            try:
                return getattr(self._esapi, command)(*arguments, **keywords)
            except TSS2_Exception as error:  # noqa: PERF203
                if wait_s is None or _code(error) not in BUSY:
                    raise self._told(command, error) from error
                self._sleep(wait_s)
        raise AssertionError

    def protect(self, root: Any) -> None:
        """Talk in sessions salted to the storage root key `root` from now on."""
        self._root = root
        self.session = self._salted(TPM2_SE.HMAC, TPMA_SESSION.DECRYPT | TPMA_SESSION.ENCRYPT)

    @contextmanager
    def policy(self, kind: TPM2_SE) -> Iterator[Any]:
        """A policy session, or one on trial, which encrypts what the TPM answers; flushed at the end."""
        session = self._salted(kind, TPMA_SESSION.ENCRYPT)
        try:
            yield session
        finally:
            self.flush(session)

    @contextmanager
    def loaded(self, handle: Any) -> Iterator[Any]:
        """A transient object, flushed at the end."""
        try:
            yield handle
        finally:
            self.flush(handle)

    def flush(self, handle: Any) -> None:
        """Flush a transient object or a session; never raises over an error that is on its way."""
        with suppress(SecureElementError):
            self.ask("flush_context", handle)

    def handles(self, first: int, most: int = _MOST_HANDLES) -> list[int]:
        """Handles that the TPM holds, of the kind of `first`, from there on."""
        _, found = self.ask("get_capability", TPM2_CAP.HANDLES, first, most)
        return [int(handle) for handle in found.data.handles]

    def holds(self, handle: int) -> bool:
        """Whether a persistent object or an NV index is there."""
        return self.handles(handle, 1) == [handle]

    def close(self) -> None:
        """Flush the session and disconnect. Idempotent."""
        esapi = self._esapi
        if esapi is None:
            return
        if self.session != ESYS_TR.NONE:
            self.flush(self.session)
        self._esapi, self.session = None, ESYS_TR.NONE
        esapi.close()

    def _salted(self, kind: TPM2_SE, attributes: TPMA_SESSION) -> Any:
        aes = TPMT_SYM_DEF(
            algorithm=TPM2_ALG.AES,
            keyBits=TPMU_SYM_KEY_BITS(aes=128),
            mode=TPMU_SYM_MODE(aes=TPM2_ALG.CFB),
        )
        session = self.ask("start_auth_session", self._root, ESYS_TR.NONE, kind, aes, TPM2_ALG.SHA256)
        self.ask("trsess_set_attributes", session, attributes | TPMA_SESSION.CONTINUESESSION)
        return session

    def _flush_left_over(self) -> None:
        """Through a resource manager, or to the one owner of a device without one, no handle but our own is shown."""
        for first in (TPM2_HC.TRANSIENT_FIRST, TPM2_HC.LOADED_SESSION_FIRST):
            for handle in self.handles(first):
                # of a handle that another process made, the library has no object to flush
                command = struct.pack(">HIII", _NO_SESSIONS, 14, _FLUSH_CONTEXT, handle)
                self._esapi.tcti.transmit(command)
                self._esapi.tcti.receive()

    def _told(self, command: str, error: Any) -> SecureElementError:
        code = _code(error)
        if error.rc & _LAYER == _TCTI_LAYER or code in DEAD:
            self._gone = f"tcti {self._tcti}: the TPM answers no more ({error}); mend it and start the terminal again"
            return SecureElementGoneError(self._gone)
        if code == TPM2_RC.LOCKOUT:
            return TpmError(
                code, "the TPM is locked after wrong authorizations; wait, or reset it: tpm2_dictionarylockout -c"
            )
        if command in _OWNERS and code in UNAUTHORIZED:
            return TpmError(code, "the TPM has an owner's password; take it away: tpm2_changeauth -c owner -p PASSWORD")
        if code in BUSY:
            return TpmError(code, f"the TPM is busy ({error}); try again")
        return TpmError(code, f"the TPM refused {command}: {error}")


def _code(error: Any) -> int:
    """The TPM's own code, without the number of the resource manager's layer, parameter or session."""
    return int(error.error) & _NO_LAYER
