"""`tessera pay`: what a cash register does: ask the backend for a payment, and wait for the truth about it."""

import time
from pathlib import Path
from typing import Annotated

import httpx
import typer
from rich.console import Console

from firmware.payment.errors import PaymentError

POLL_S = 0.2


def pay(
    amount: Annotated[str, typer.Argument(help="Written out, e.g. 12.50.")],
    currency: Annotated[str, typer.Argument(help="ISO 4217, e.g. EUR.")],
    payer: Annotated[str, typer.Option(help="The token of the account to be charged.")],
    register: Annotated[str, typer.Option(help="The backend's register, e.g. http://127.0.0.1:8080.")],
    token: Annotated[Path, typer.Option(help="File with the register's bearer token.")],
    terminal: Annotated[str, typer.Option(help="Which terminal asks the customer.")] = "till-1",
    wait_s: Annotated[float, typer.Option(min=1, max=600, help="How long to wait for the outcome.")] = 150,
) -> None:
    """Ask for a payment and wait for its outcome. Exit 0 only if it is approved."""
    console = Console()
    try:
        headers = {"Authorization": f"Bearer {token.read_text().strip()}"}
        with httpx.Client(base_url=register, headers=headers, timeout=10.0) as http:
            body = {"terminal": terminal, "amount": amount, "currency": currency, "payer": payer}
            intent = _answer(http.post("/intents", json=body))["intent"]
            console.print(f"asked {terminal} for {amount} {currency}; intent {intent}")
            deadline = time.monotonic() + wait_s
            with console.status("waiting for the customer"):
                while (view := _answer(http.get(f"/intents/{intent}")))["state"] == "open":
                    if time.monotonic() > deadline:
                        break
                    time.sleep(POLL_S)
    except OSError as error:
        raise PaymentError("trust", f"{token}: {error.strerror}") from error
    except httpx.TransportError as error:
        raise PaymentError("trust", f"{register}: no backend answers ({error}); nothing was asked") from error
    console.print(f"{view['state']} {view['code']}".strip())
    raise typer.Exit(0 if view["state"] == "approved" else 1)


def _answer(response: httpx.Response) -> dict[str, str]:
    if response.is_error:
        raise PaymentError("trust", f"the backend refused: {response.status_code} {response.text}")
    answer: dict[str, str] = response.json()
    return answer
