"""`tessera pay` and `tessera mandate`: what a cash register, and a desk where people enrol, ask of the backend.

Rules kept here:
- A payment is not given up because nobody answers: it is asked for once, by a key, and asked about until the time is
  over. Where nobody can say what became of it, that is said, and never that it failed.
"""

import secrets
import shlex
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar

import httpx
import msgspec
import typer
from rich.console import Console

from firmware.gallery.consent import ConsentRecord, consent_hash
from firmware.payment import cose, schema
from firmware.payment.errors import PaymentError
from firmware.payment.mandate import SIMULATED
from hil.backend.caller import LostError, answer, calling
from hil.backend.disk import named

LONG_POLL_S = 5  # below the client's own time-out
PAUSE_S = 0.5  # before a call is made again
LAST_S = 10.0  # for taking it back
UNKNOWN = 3  # the exit code where nobody can say what became of a payment

A = TypeVar("A")

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

    Exit 0 if it is approved, 1 if it is not, 3 if nobody can say: then it may be paid, and must not be asked for again.
    """
    console = Console()
    body = {"terminal": terminal, "amount": amount, "currency": currency, "payer": payer}
    body["assurance"] = "dynamic_pin" if pin else "dynamic" if dynamic else "geometry"
    until, key = time.monotonic() + wait_s, secrets.token_hex(16)
    with calling(register, token) as http:
        where = f"/intents?reference={key}"
        try:
            with console.status("waiting for the customer; Ctrl-C takes it back"):
                intent = _ask(http, body, key, until)
                where = f"/intents/{intent}"
                console.print(f"asked {terminal} for {amount} {currency}; intent {intent}")
                view = _wait(http, where, until)
            if view.state == "open":
                view = _insist(http, "POST", f"{where}/cancel", _View, time.monotonic() + LAST_S, asked=True)
        except (KeyboardInterrupt, _UnknownError) as error:
            _tell_unknown(console, f"{register.rstrip('/')}{where}", token, str(error) or "stopped while waiting")
            raise typer.Exit(UNKNOWN) from error
    if view.state == "unknown":
        _tell_unknown(console, f"{register.rstrip('/')}{where}", token, "the backend knows no such intent any more")
        raise typer.Exit(UNKNOWN)
    console.print(f"{view.state} {view.code}".strip())
    raise typer.Exit(0 if view.state == "approved" else 1)


class _Asked(msgspec.Struct):
    """What was ordered."""

    intent: str


class _View(msgspec.Struct):
    """How an order stands."""

    state: str
    code: str = ""


class _Mandate(msgspec.Struct):
    """A signed envelope in hex."""

    mandate: Annotated[str, msgspec.Meta(pattern=r"^([0-9a-f]{2})*\Z")]


class _UnknownError(Exception):
    """Nobody can say what became of an order."""


def _ask(http: httpx.Client, body: dict[str, str], key: str, until: float) -> str:
    """Order it; returns its intent. Raises PaymentError where nothing is ordered, else _UnknownError."""
    sent: dict[str, Any] = {"json": body | {"reference": key}, "headers": {"Idempotency-Key": key}}
    return _insist(http, "POST", "/intents", _Asked, until, asked=False, **sent).intent


def _wait(http: httpx.Client, where: str, until: float) -> _View:
    """Look until it is over or the time is, or Ctrl-C; return how it stands, as far as is known."""
    view = _View("open")
    try:
        while view.state == "open":
            wait = {"wait_s": max(0, min(LONG_POLL_S, round(until - time.monotonic())))}
            view = _insist(http, "GET", where, _View, until, asked=True, params=wait)
            if time.monotonic() >= until:
                break
    except (KeyboardInterrupt, _UnknownError):
        # to take it back is to ask once more
        return _View("open")
    return view


def _insist(http: httpx.Client, method: str, path: str, kind: type[A], until: float, *, asked: bool, **sent: Any) -> A:
    """Call until it is answered or the time is over; `asked`: there may be an order, whatever is answered.

    Raises:
        PaymentError: refused, and nothing is ordered.
        _UnknownError: the time is over.
    """
    while True:
        try:
            return answer(http, method, path, kind, **sent)
        except PaymentError as error:
            asked = asked or isinstance(error, LostError)
            if not asked:
                raise
            if time.monotonic() >= until:
                raise _UnknownError(error.text) from error
        time.sleep(PAUSE_S)


def _tell_unknown(console: Console, url: str, token: Path, why: str) -> None:
    console.print(f"unknown: {why}", markup=False, highlight=False)
    console.print(
        "It may be paid. Do not ask for it again; ask what became of it (an empty list: nothing was ordered):"
    )
    line = f'  curl -H "Authorization: Bearer $(cat {shlex.quote(str(token))})" {shlex.quote(url)}'
    console.print(line, soft_wrap=True, markup=False, highlight=False)


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
    with calling(register, token) as http:
        _keep(out, answer(http, "POST", "/mandates", _Mandate, json=body))
        if guardian_out is not None and paper.guardian is not None:
            _keep(guardian_out, answer(http, "POST", "/guardian-mandates", _Mandate, json=common | paper.guardian))
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


def _keep(path: Path, made: _Mandate) -> None:
    with named(path):
        path.write_bytes(bytes.fromhex(made.mandate))
