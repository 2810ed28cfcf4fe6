"""Run under `killed.c`: one change of a SoftHSM token, killed before chosen changes of its files, and what is left.

Arguments as one JSON object: `options` of the element, `folder` of the token, `change`, `every`: how many points to go
on at a time, but for the first and the last of them, which are all taken. Each trial is a process of its own. One line
of JSON for each: the state before, the state after, and the state once the change was asked for again.
"""

import ctypes
import json
import os
import shutil
import sys
import traceback
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

from pkcs11 import Session, Token

from drivers.secure_element import pkcs11_token
from drivers.secure_element.interface import SecureElement, SecureElementError
from drivers.secure_element.pkcs11 import open_secure_element, provision

EDGE = 10
NEVER = 10**9
CHANGES: dict[str, Callable[[SecureElement], object]] = {
    "provision": lambda element: None,
    "prepare_epoch": lambda element: element.prepare_epoch(3),
    "prepare_epoch again": lambda element: element.prepare_epoch(2),
    "end_epochs_before": lambda element: element.end_epochs_before(2),
    "prepare_identity": lambda element: element.prepare_identity(),
    "adopt_identity": lambda element: element.adopt_identity(),
}
SHIM = ctypes.CDLL(None)


def main() -> None:
    """Go through the points."""
    asked = json.loads(sys.argv[1])
    options, folder, change = asked["options"], Path(asked["folder"]), asked["change"]
    pristine = folder.parent.parent / "pristine"
    sealed = _in_a_process(lambda: _prepare(options, change))
    shutil.copytree(folder, pristine)
    before = _in_a_process(lambda: _told(options, sealed))
    total = _in_a_process(lambda: _change(options, change, NEVER))
    for point in [n for n in range(total + 1) if n < EDGE or n > total - EDGE or n % asked["every"] == 0]:
        shutil.rmtree(folder)
        shutil.copytree(pristine, folder)
        finished = _in_a_process(partial(_change, options, change, point)) is not None
        after, again = _in_a_process(lambda: (_told(options, sealed), _again(options, change, sealed)))
        trial = {"point": point, "of": total, "finished": finished, "states": [before, after, again]}
        sys.stdout.write(json.dumps(trial) + "\n")


def _prepare(options: dict[str, Any], change: str) -> dict[str, str]:
    if change == "provision":
        return {}
    element = provision(options)
    element.prepare_epoch(2)
    if change == "adopt_identity":
        element.prepare_identity()
    return {str(epoch): element.seal(b"template", b"", epoch).hex() for epoch in (1, 2)}


def _change(options: dict[str, Any], change: str, point: int) -> int:
    """How many changes of files it took."""
    log_in = pkcs11_token._log_in

    def logged_in(token: Token, pin: str, pin_file: Path) -> Session:
        session = log_in(token, pin, pin_file)
        SHIM.arm(ctypes.c_long(point))
        return session

    if change == "provision":
        # from after its login: SoftHSM rewrites the token's own file then, and killed within that it loses the token
        pkcs11_token._log_in = logged_in
        provision(options)
    else:
        element = open_secure_element(options)
        SHIM.arm(ctypes.c_long(point))
        CHANGES[change](element)
    return int(SHIM.changes())


def _again(options: dict[str, Any], change: str, sealed: dict[str, str]) -> Any:
    """The state once the change was asked for again, as a restart does where it has not been made."""
    try:
        element = provision(options) if change == "provision" else open_secure_element(options)
        with closing(element):
            CHANGES[change](element)
    except SecureElementError as error:
        if not any(told in str(error) for told in ("no identity waits", "not replaced")):
            raise
    return _told(options, sealed)


def _told(options: dict[str, Any], sealed: dict[str, str]) -> Any:
    """The state: the key in force or its absence, whether one waits, which epochs work and open what they sealed."""
    try:
        element = open_secure_element(options)
    except SecureElementError:
        if sealed:
            raise
        return None  # provisioning was cut short
    with closing(element):
        element.sign(b"message")
        works = [epoch for epoch in (1, 2, 3) if _does(partial(_seals, element, epoch))]
        opens = [int(at) for at, blob in sealed.items() if _does(partial(_opens, element, int(at), blob))]
        return [element.public_key.hex(), _does(lambda: element.prove_identity(b"message")), works, opens]


def _seals(element: SecureElement, epoch: int) -> None:
    element.unseal(element.seal(b"", b"", epoch), b"", epoch)


def _opens(element: SecureElement, epoch: int, blob: str) -> None:
    element.unseal(bytes.fromhex(blob), b"", epoch)


def _does(asked: Callable[[], object]) -> bool:
    try:
        asked()
    except SecureElementError:
        return False
    return True


def _in_a_process(run: Callable[[], Any]) -> Any:
    """What `run` returns in a child; None where that was killed."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(reading)
            with open(writing, "w") as answer:
                json.dump({"answer": run()}, answer)
            os._exit(0)
        finally:
            traceback.print_exc()
            os._exit(1)
    os.close(writing)
    with open(reading) as answer:
        told = answer.read()
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return None
    return json.loads(told)["answer"]


if __name__ == "__main__":
    main()
