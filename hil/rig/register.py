"""A cash register that keeps its own ledger: what it asked for, what it was told, and when that changed. Simulated.

Rules kept here:
- An order has one reference of the register's own, which is also the key of its call: asked again after a broken
  connection it is the same order, and never a second payment.
- Every answer is written down before anything is done with it, one line each, and nothing is ever changed: the ledger
  holds against the backend what the backend once said.
- What cannot be asked now is asked again, until `PATIENCE_S` is over.
"""

import secrets
import threading
import time
from pathlib import Path
from typing import Annotated, Any, Literal

import httpx
import msgspec
from msgspec import Meta

from firmware.core.errors import TerminalError
from firmware.payment.money import Amount, format_amount

PATIENCE_S = 60.0
RETRY_S = 0.2
CALL_S = 5.0
OPEN = ("open", "unknown")

What = Literal["ask", "intent", "state", "cancel", "give_back", "given_back", "booked_back"]


class RegisterError(TerminalError):
    """The backend did not answer for `PATIENCE_S` seconds, or refused what it should not."""


class Line(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One line of the ledger.

    Attributes:
        reference: of the order.
        what: `ask` before an order goes out, `intent` once it has its id, `state` whenever another is seen, `cancel`
            before it is taken back; `give_back` before a reversal or refund goes out, `given_back` once it is
            answered, `booked_back` what the books say of that in the end.
        at: Unix time by this machine's own clock, seconds.
        says: the payer, the intent's id, or the state and its code as `state/code`.
        amount_minor: asked for, or given back, in minor units of `currency`.
    """

    reference: str
    what: What
    at: float
    says: str = ""
    terminal: str = ""
    amount_minor: Annotated[int, Meta(ge=0)] = 0
    currency: str = ""


class Order(msgspec.Struct, frozen=True):
    """A payment that was asked for: `intent` is its id in hex."""

    reference: str
    intent: str


class Register:
    """Calls the backend from any thread.

    Args:
        url, token: of the backend's register.
        ledger: the file; appended to.
    """

    def __init__(self, url: str, token: str, ledger: Path) -> None:
        headers = {"Authorization": f"Bearer {token}"}
        limits = httpx.Limits(max_keepalive_connections=0)
        self._http = httpx.Client(base_url=url, headers=headers, timeout=CALL_S, limits=limits, trust_env=False)
        self._file, self._writing = ledger.open("ab", buffering=0), threading.Lock()
        self._seen: dict[str, str] = {}
        self._pause = threading.Event()

    def close(self) -> None:
        """Close the ledger."""
        self._http.close()
        self._file.close()

    def __enter__(self) -> "Register":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def ask(self, terminal: str, amount: Amount, payer: str) -> Order:
        """Ask for a payment. Raises RegisterError; the ledger then knows an order without an answer."""
        reference = secrets.token_hex(8)
        self._note(Line(reference, "ask", time.time(), payer, terminal, amount.minor, amount.currency))
        body = {"terminal": terminal, "payer": payer, "currency": amount.currency, "reference": reference}
        body["amount"] = _written(amount)
        answer = self._call("POST", "/intents", json=body, headers={"Idempotency-Key": reference})
        self._note(Line(reference, "intent", time.time(), str(answer["intent"])))
        return Order(reference, str(answer["intent"]))

    def state(self, order: Order) -> str:
        """How an order stands, `state` or `state/code`. Raises RegisterError."""
        return self._stands(order, self._call("GET", f"/intents/{order.intent}"))

    def settled(self, order: Order, within_s: float) -> bool:
        """Wait until it is over, at most so long; returns whether it is. Raises RegisterError."""
        deadline = time.monotonic() + within_s
        while self.state(order) in OPEN:
            if time.monotonic() > deadline:
                return False
            self._pause.wait(RETRY_S)
        return True

    def cancel(self, order: Order) -> str:
        """Take it back, if that is still possible; returns how it stands. Raises RegisterError."""
        self._note(Line(order.reference, "cancel", time.time()))
        return self._stands(order, self._call("POST", f"/intents/{order.intent}/cancel"))

    def find(self, reference: str) -> Order | None:
        """The order that was made under a reference, where its answer was lost; None where none was.

        Raises RegisterError.
        """
        for view in self._call("GET", "/intents", params={"reference": reference}):
            self._note(Line(reference, "intent", time.time(), str(view["intent"])))
            return Order(reference, str(view["intent"]))
        return None

    def reverse(self, order: Order, whole: Amount) -> None:
        """Take a payment back, all of it. Raises RegisterError."""
        self._give_back(order, "reverse", None, whole)

    def refund(self, order: Order, part: Amount) -> None:
        """Give back a part. Raises RegisterError."""
        body = {"amount": _written(part), "currency": part.currency}
        self._give_back(order, "refunds", body, part)

    def balance(self, order: Order) -> None:
        """Write down how it stands in the end, and what of it the books say is given back. Raises RegisterError."""
        answer = self._call("GET", f"/intents/{order.intent}")
        self._stands(order, answer)
        back = int(answer["given_back_minor"])
        self._note(Line(order.reference, "booked_back", time.time(), amount_minor=back))

    def _give_back(self, order: Order, how: str, body: dict[str, str] | None, amount: Amount) -> None:
        line = Line(order.reference, "give_back", time.time(), "", "", amount.minor, amount.currency)
        self._note(line)
        headers = {"Idempotency-Key": secrets.token_hex(8)}
        self._call("POST", f"/intents/{order.intent}/{how}", json=body, headers=headers)
        self._note(msgspec.structs.replace(line, what="given_back", at=time.time()))

    def _stands(self, order: Order, answer: dict[str, Any]) -> str:
        stands = "/".join(filter(None, (str(answer["state"]), str(answer["code"]))))
        with self._writing:
            new = self._seen.get(order.reference) != stands
            self._seen[order.reference] = stands
        if new:
            self._note(Line(order.reference, "state", time.time(), stands))
        return stands

    def _call(self, method: str, path: str, **more: Any) -> Any:
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                response = self._http.request(method, path, **more)
            except httpx.TransportError as error:
                told = str(error) or type(error).__name__
            else:
                if response.status_code < 300:
                    return response.json()
                told = f"{response.status_code} {response.text}"
                if response.status_code != 503:  # the database or the broker is away: nothing was done
                    raise RegisterError(f"{method} {path}: {told}")
            if time.monotonic() > deadline:
                raise RegisterError(f"{method} {path}: no answer for {PATIENCE_S:g} s: {told}")
            self._pause.wait(RETRY_S)

    def _note(self, line: Line) -> None:
        with self._writing:
            self._file.write(msgspec.json.encode(line) + b"\n")


def _written(amount: Amount) -> str:
    return format_amount(amount.minor, amount.currency).removesuffix(f" {amount.currency}")


def read_ledger(ledger: Path) -> list[Line]:
    """What a register wrote; a last line that was cut off is left out."""
    decode = msgspec.json.Decoder(Line).decode
    return [decode(raw) for raw in ledger.read_bytes().splitlines(keepends=True) if raw.endswith(b"\n")]
