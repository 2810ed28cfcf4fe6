"""`tessera pay` and `tessera mandate`: what a cash register, and a desk where people enrol, ask of the backend."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import httpx
import typer
from rich.console import Console

from firmware.gallery.consent import ConsentRecord, consent_hash
from firmware.payment import cose, schema
from firmware.payment.errors import PaymentError
from firmware.payment.mandate import SIMULATED

LONG_POLL_S = 5  # below the client's own time-out

PayerOption = Annotated[str, typer.Option(help="The token of the account to be charged.")]
RegisterOption = Annotated[str, typer.Option(help="The backend's register, e.g. http://127.0.0.1:8080.")]
TokenOption = Annotated[Path, typer.Option(help="File with the register's bearer token.")]
TerminalOption = Annotated[str, typer.Option(help="Which terminal.")]


def pay(
    amount: Annotated[str, typer.Argument(help="Written out, e.g. 12.50.")],
    currency: Annotated[str, typer.Argument(help="ISO 4217, e.g. EUR.")],
    payer: PayerOption,
    register: RegisterOption,
    token: TokenOption,
    terminal: TerminalOption = "till-1",
    dynamic: Annotated[
        bool, typer.Option("--dynamic", help="Ask for evidence of motion that nothing rigid gives.")
    ] = False,
    pin: Annotated[bool, typer.Option("--pin", help="Ask for that and the payer's PIN.")] = False,
    wait_s: Annotated[float, typer.Option(min=1, max=600, help="How long to wait for the outcome.")] = 150,
) -> None:
    """Ask for a payment and wait for its outcome; Ctrl-C takes it back, and so does waiting too long.

    Exit 0 only if it is approved.
    """
    console = Console()
    with _backend(register, token) as http:
        body = {"terminal": terminal, "amount": amount, "currency": currency, "payer": payer}
        body["assurance"] = "dynamic_pin" if pin else "dynamic" if dynamic else "geometry"
        intent = _answer(http.post("/intents", json=body))["intent"]
        console.print(f"asked {terminal} for {amount} {currency}; intent {intent}")
        try:
            with console.status("waiting for the customer; Ctrl-C takes it back"):
                view = _wait(http, intent, wait_s)
        except KeyboardInterrupt:
            view = {"state": "open"}
        if view["state"] == "open":
            view = _answer(http.post(f"/intents/{intent}/cancel"))
    console.print(f"{view['state']} {view['code']}".strip())
    raise typer.Exit(0 if view["state"] == "approved" else 1)


def _wait(http: httpx.Client, intent: str, wait_s: float) -> dict[str, str]:
    """Look until it is over or the time is; return how it stands."""
    deadline = time.monotonic() + wait_s
    while True:
        wait = {"wait_s": max(0, min(LONG_POLL_S, round(deadline - time.monotonic())))}
        view = _answer(http.get(f"/intents/{intent}", params=wait))
        if view["state"] != "open" or time.monotonic() >= deadline:
            return view


def mandate(
    payer: PayerOption,
    consent: Annotated[Path, typer.Option(help="The consent record, signed by the terminal, the mandate is for.")],
    register: RegisterOption,
    token: TokenOption,
    out: Annotated[Path, typer.Option(help="Where to write the mandate, for `tessera enrol`.")],
    terminal: TerminalOption = "till-1",
    method: Annotated[str, typer.Option(help="How the account's holder was authenticated.")] = SIMULATED,
    guardian_out: Annotated[
        Path | None, typer.Option(help="Where to write the guardian's mandate, for a person under 14.")
    ] = None,
    pin: Annotated[
        bool, typer.Option("--pin", help="To set their PIN (`tessera pin set`), not to enrol them.")
    ] = False,
) -> None:
    """Get the backend's signed, one-use mandate to enrol somebody under their consent, or to set their PIN."""
    paper = _read_paper(consent)
    common = {"terminal": terminal, "consent_hash": paper.sha256}
    body = common | {"payer": payer, "purpose": "pin" if pin else paper.purpose, "method": method}
    if guardian_out is not None and paper.guardian is None:
        raise PaymentError("mandate", f"{consent}: no guardian consented in it")
    with _backend(register, token) as http:
        out.write_bytes(bytes.fromhex(_answer(http.post("/mandates", json=body))["mandate"]))
        if guardian_out is not None and paper.guardian is not None:
            answer = _answer(http.post("/guardian-mandates", json=common | paper.guardian))
            guardian_out.write_bytes(bytes.fromhex(answer["mandate"]))
    Console().print(f"mandate for {payer} in {out}" + (f", guardian's in {guardian_out}" if guardian_out else ""))


@dataclass(frozen=True)
class _Paper:
    """What of a consent the backend is told: never who consented. `guardian`: verifier and method."""

    sha256: str
    purpose: str
    guardian: dict[str, str] | None


def _read_paper(path: Path) -> _Paper:
    """Read a consent record as a desk can: its hash and purpose; the signature is the terminal's to check."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise PaymentError("mandate", f"{path}: {error.strerror}; without consent there is no enrolment") from error
    record = schema.decode(cose.peek(raw), ConsentRecord)
    guardian = {"verifier": record.guardian_verifier, "method": record.guardian_method} if record.guardian else None
    return _Paper(consent_hash(raw).hex(), record.bound_purpose, guardian)


@contextmanager
def _backend(register: str, token: Path) -> Iterator[httpx.Client]:
    """A client of the register. Raises PaymentError where there is no token or no backend."""
    try:
        headers = {"Authorization": f"Bearer {token.read_text().strip()}"}
    except OSError as error:
        raise PaymentError("trust", f"{token}: {error.strerror}") from error
    with httpx.Client(base_url=register, headers=headers, timeout=10.0) as http:
        try:
            yield http
        except httpx.TransportError as error:
            raise PaymentError("trust", f"{register}: the backend does not answer: {error}") from error


def _answer(response: httpx.Response) -> dict[str, str]:
    if response.is_error:
        raise PaymentError("trust", f"the backend refused: {response.status_code} {response.text}")
    answer: dict[str, str] = response.json()
    return answer
