"""One PKCS#11 token, opened by one process: its lock, its PIN, its objects by number, what its errors mean.

Rules kept here:
- One process owns the token: a lock on the PIN's file is held as long as the session.
- The PIN comes from a file that only its owner may read. It stands in no message. It is given once: tokens lock
  themselves after a few wrong ones, so the last try is left to a person.
- Errors of tokens mean many things. After any, the token is asked for an object that must be there: without an answer
  it is gone, and stays gone for this process, even where it is put back.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import RLock
from typing import Any

import pkcs11
from pkcs11 import Attribute, Object, ObjectClass, PKCS11Error, Session, SlotFlag, Token, TokenFlag
from pkcs11 import exceptions as refusals

from drivers.secure_element.files import read_private
from drivers.secure_element.interface import SecureElementError, SecureElementGoneError

MAX_PIN_BYTES = 256
DIGITS = 8


class OwnedToken:
    """A logged-in session on a token, by its only owner on this machine.

    Args:
        module: the vendor's PKCS#11 library.
        label: the token's.
        pin_file: the user PIN, alone in a file of mode 0600.

    Raises:
        SecureElementError: what is wrong and what to do.
    """

    def __init__(self, module: Path, label: str, pin_file: Path) -> None:
        self._label = label
        self._gone = False
        self._turn = RLock()  # liveness draws from a thread of its own, and not every library takes two at once
        self._sentinel: Object | None = None
        self._lock = _lock(pin_file)
        try:
            pin = _read_pin(pin_file)
            token = _find(module, label)
            self.in_hardware = bool(token.slot.flags & SlotFlag.HW_SLOT)
            self._session: Session | None = _log_in(token, pin, pin_file)
        except SecureElementError:
            os.close(self._lock)
            raise

    def __str__(self) -> str:
        return f"token {self._label!r}"

    @contextmanager
    def asked(self, what: str) -> Iterator[Session]:
        """The session, to ask the token something, `what` in words.

        Raises:
            SecureElementGoneError: the token answers no more.
            SecureElementError: it refused.
        """
        with self._turn:
            if self._gone:
                raise self._lost("lost before")
            if self._session is None:
                raise SecureElementError("the secure element is closed")
            try:
                yield self._session
            except PKCS11Error as error:
                name = type(error).__name__
                self.must_answer(name)
                raise SecureElementError(f"{what}: the token {self._label!r} refused: {name}") from error

    def watch(self, sentinel: Object) -> None:
        """Take `sentinel` for the object whose absence means that the token is gone."""
        self._sentinel = sentinel

    def numbered(self, kind: ObjectClass, prefix: str) -> dict[int, Any]:
        """The objects of a kind whose label is `prefix` and a number, by number, lowest first."""
        found = {}
        with self.asked("looking for keys") as session:
            for thing in session.get_objects({Attribute.CLASS: kind, Attribute.TOKEN: True}):
                label = str(thing[Attribute.LABEL])
                digits = label.removeprefix(prefix)
                if label.startswith(prefix) and len(digits) == DIGITS and digits.isascii() and digits.isdigit():
                    found[int(digits)] = thing
        return dict(sorted(found.items()))

    def close(self) -> None:
        """Log out and let the next owner in. Idempotent."""
        if self._session is not None:
            with suppress(PKCS11Error):  # of a token that is gone
                self._session.close()
            self._session = self._sentinel = None
            os.close(self._lock)

    def must_answer(self, why: str = "it was looked for") -> None:
        """Raise SecureElementGoneError where the token is not there any more."""
        try:
            _ = self._sentinel[Attribute.LABEL] if self._sentinel is not None else None
        except PKCS11Error as error:
            self._gone = True
            raise self._lost(why) from error

    def _lost(self, why: str) -> SecureElementGoneError:
        return SecureElementGoneError(
            f"the token {self._label!r} answers no more ({why}): put it back, then start the terminal anew"
        )


def _lock(pin_file: Path) -> int:
    """Return a descriptor that holds the lock until it is closed."""
    try:
        lock = os.open(pin_file, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise SecureElementError(f"{pin_file}: cannot be read: {error.strerror}") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(lock)
        raise SecureElementError(
            f"{pin_file}: another process owns this secure element; stop the terminal, or what else has it open"
        ) from error
    return lock


def _read_pin(path: Path) -> str:
    try:
        return read_private(path, MAX_PIN_BYTES).decode().rstrip("\r\n")
    except UnicodeDecodeError:
        # not chained: it would print the PIN
        raise SecureElementError(f"{path}: a PIN is text, in UTF-8") from None


def _find(module: Path, label: str) -> Token:
    try:
        tokens = list(pkcs11.lib(str(module)).get_tokens(token_label=label))
    except PKCS11Error as error:
        raise SecureElementError(f"{module}: is no PKCS#11 library that works here: {error!r}") from error
    if len(tokens) != 1:
        raise SecureElementError(f"{module}: {len(tokens)} tokens are labelled {label!r}, not one; is it plugged in?")
    return tokens[0]


def _log_in(token: Token, pin: str, pin_file: Path) -> Session:
    if token.flags & TokenFlag.USER_PIN_LOCKED:
        raise SecureElementError(f"the token {token.label!r} is locked: unblock it with the security officer's PIN")
    if token.flags & TokenFlag.USER_PIN_FINAL_TRY:
        raise SecureElementError(
            f"the token {token.label!r} allows one more PIN before it locks, and it is not tried here: check "
            f"{pin_file}, then log in by hand once"
        )
    try:
        return token.open(rw=True, user_pin=pin)
    except (refusals.PinIncorrect, refusals.PinInvalid, refusals.PinLenRange) as error:
        raise SecureElementError(
            f"{pin_file}: not the PIN of the token {token.label!r}; tokens lock after a few wrong ones: correct it "
            "before the next start"
        ) from error
    except PKCS11Error as error:
        raise SecureElementError(f"the token {token.label!r} cannot be opened: {type(error).__name__}") from error
