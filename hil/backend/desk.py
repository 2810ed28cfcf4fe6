"""`tessera pay` and `tessera mandate`: what a cash register, and a desk where people enrol, ask of the backend."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import httpx
import typer
from rich.console import Console

from firmware.commands.enrol import read_consent
from firmware.payment.errors import PaymentError

POLL_S = 0.2

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
    wait_s: Annotated[float, typer.Option(min=1, max=600, help="How long to wait for the outcome.")] = 150,
) -> None:
    """Ask for a payment and wait for its outcome. Exit 0 only if it is approved."""
    console = Console()
    with _backend(register, token) as http:
        body = {"terminal": terminal, "amount": amount, "currency": currency, "payer": payer}
        body["assurance"] = "dynamic" if dynamic else "geometry"
        intent = _answer(http.post("/intents", json=body))["intent"]
        console.print(f"asked {terminal} for {amount} {currency}; intent {intent}")
        deadline = time.monotonic() + wait_s
        with console.status("waiting for the customer"):
            while (view := _answer(http.get(f"/intents/{intent}")))["state"] == "open" and time.monotonic() < deadline:
                time.sleep(POLL_S)
    console.print(f"{view['state']} {view['code']}".strip())
    raise typer.Exit(0 if view["state"] == "approved" else 1)


def mandate(
    payer: PayerOption,
    consent: Annotated[Path, typer.Option(help="The consent record (TOML) the mandate is for.")],
    register: RegisterOption,
    token: TokenOption,
    out: Annotated[Path, typer.Option(help="Where to write the mandate, for `tessera enrol`.")],
    terminal: TerminalOption = "till-1",
) -> None:
    """Get the backend's signed, one-use mandate to enrol somebody under their consent."""
    record = read_consent(consent)
    body = {
        "terminal": terminal,
        "payer": payer,
        "purpose": record.purpose,
        "consent_hash": record.sha256.hex(),
    }
    with _backend(register, token) as http:
        out.write_bytes(bytes.fromhex(_answer(http.post("/mandates", json=body))["mandate"]))
    Console().print(f"mandate for {payer} in {out}")


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
