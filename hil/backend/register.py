"""What a cash register calls: ask for a payment, watch it, take it back, give it back, reconcile. HTTP on 127.0.0.1.

Rules kept here:
- `GET /intents/{id}` is the truth about a payment, whatever a terminal's screen says.
- What moves money can be asked for again without being done again: under the same key it has the same answer.
- What there is to call is described by `GET /openapi.json`, and the description is made from the code.
"""

import datetime
from typing import Annotated, Any, Protocol

from fastapi import Depends, FastAPI, Header, HTTPException, Query, Request, Response

from firmware.payment.money import parse_amount
from hil.backend import metrics
from hil.backend.backend import Backend
from hil.backend.calls import call
from hil.backend.doors import CONFLICT, REFUSALS, SmallBodies, doorkeeper, word_refusals
from hil.backend.forms import (
    NAME,
    Asked,
    Closed,
    GuardianMandateRequest,
    Health,
    Hex32,
    IntentRequest,
    Issued,
    MandateRequest,
    Name,
    Problem,
    RefundRequest,
)
from hil.backend.orders import Refund, RegisterView
from hil.backend.watch import MOST_WAIT_S, Watchers

KEY = Header(alias="Idempotency-Key", min_length=1, max_length=64, pattern=NAME)


class Link(Protocol):
    """What the register needs of the way to the terminals; `mqtt.BackendLink` is one."""

    @property
    def connected(self) -> bool:
        """Whether an intent would go out now."""

    def send_intent(self, terminal: str, envelope: bytes) -> None:
        """Send it."""

    def send_cancellation(self, terminal: str, envelope: bytes) -> None:
        """Tell the terminal that an intent is taken back."""


def create_app(backend: Backend, link: Link, token: str) -> FastAPI:
    """Return the application; `token` is what callers must know."""
    app = FastAPI(
        title="Tessera's register",
        dependencies=[Depends(doorkeeper(token))],
        responses=REFUSALS,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
    )
    app.add_middleware(SmallBodies)
    word_refusals(app)
    _service(app, backend, link)
    _orders(app, backend, link)
    _given_back(app, backend)
    _books(app, backend)
    _mandates(app, backend)
    return app


def _service(app: FastAPI, backend: Backend, link: Link) -> None:
    @app.get("/health")
    def health() -> Health:
        """For a monitor, which must read it: it is answered with 200 whatever is away."""
        return Health(broker=link.connected, database=backend.ready())

    @app.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
    def counted() -> Response:
        return Response(metrics.page(), media_type="text/plain; version=0.0.4; charset=utf-8")

    @app.get("/openapi.json", include_in_schema=False)
    def described() -> dict[str, Any]:
        return app.openapi()


def _orders(app: FastAPI, backend: Backend, link: Link) -> None:
    watchers = Watchers()

    @app.post("/intents", status_code=201, responses=CONFLICT)
    def ask(request: IntentRequest, key: Annotated[str | None, KEY] = None) -> Asked:
        """Ask for a payment. The same key and body again: the same intent, and it is sent once more while open."""
        if not link.connected:
            raise HTTPException(503, "the backend has no broker; nothing was sent: ask again under the same key")
        amount = parse_amount(request.amount, request.currency)
        intent, envelope = backend.issue_intent(
            request.terminal, amount, request.payer, request.assurance, reference=request.reference,
            call=call(key, "intent", request.model_dump()) if key else None,
        )  # fmt: skip
        if not key or backend.state(intent).state == "open":
            link.send_intent(request.terminal, envelope)
        return Asked(intent=intent.hex())

    @app.get("/intents")
    def referred(reference: Annotated[Name, Query()]) -> list[RegisterView]:
        """The orders a register calls so: for one that does not know what became of its call."""
        return backend.referred(reference)

    @app.get("/intents/{intent}")
    async def state(
        intent: Hex32, request: Request, wait_s: Annotated[int, Query(ge=0, le=MOST_WAIT_S)] = 0
    ) -> RegisterView:
        """How an order stands; with `wait_s`, when it is over or so many seconds have passed."""
        order = bytes.fromhex(intent)
        return await watchers.until_over(lambda: backend.state(order), wait_s, request.is_disconnected)

    @app.post("/intents/{intent}/cancel")
    def cancel(intent: Hex32) -> RegisterView:
        """Take an order back. What it says then is final: cancelled, or whatever was first."""
        view, envelope = backend.cancel(bytes.fromhex(intent))
        if envelope is not None:
            link.send_cancellation(view.terminal, envelope)
        return view


def _given_back(app: FastAPI, backend: Backend) -> None:
    @app.post("/intents/{intent}/reverse", responses=CONFLICT)
    def reverse(intent: Hex32) -> RegisterView:
        """Take a payment back as a whole, once, while its day is open; asked again it says so again."""
        return backend.reverse(bytes.fromhex(intent))

    @app.post("/intents/{intent}/refunds", status_code=201, responses=CONFLICT)
    def refund(intent: Hex32, request: RefundRequest, key: Annotated[str, KEY]) -> Refund:
        """Give a part of a payment back, never more than was paid. Every refund has a key of its own."""
        amount = parse_amount(request.amount, request.currency)
        return backend.refund(bytes.fromhex(intent), amount, call(key, "refund", intent, request.model_dump()))


def _books(app: FastAPI, backend: Backend) -> None:
    @app.post("/reconciliations/{day}", responses=CONFLICT)
    def close(day: datetime.date) -> Closed:
        """Close the books up to the end of `day`, UTC, once it is over; asked again it says the same again."""
        done = backend.close_day(day)
        return Closed(
            since=done.since, until=done.until, lines=done.lines, digest=done.digest.hex(), envelope=done.envelope.hex()
        )

    @app.get(
        "/reconciliations/{day}",
        response_class=Response,
        responses={200: {"content": {"text/csv": {}}}, 404: {"model": Problem}},
    )
    def file_of(day: datetime.date) -> Response:
        """The file of a closed day: every effect since the closing before, one line each, then the totals."""
        content = backend.file_of(day)
        if content is None:
            raise HTTPException(404, "no closing ended with that day")
        return Response(content, media_type="text/csv; charset=us-ascii")


def _mandates(app: FastAPI, backend: Backend) -> None:
    @app.post("/mandates", status_code=201)
    def mandate(request: MandateRequest) -> Issued:
        consent_hash = bytes.fromhex(request.consent_hash)
        envelope = backend.issue_mandate(request.terminal, request.payer, request.purpose, consent_hash, request.method)
        return Issued(mandate=envelope.hex())

    @app.post("/guardian-mandates", status_code=201)
    def guardian_mandate(request: GuardianMandateRequest) -> Issued:
        consent_hash = bytes.fromhex(request.consent_hash)
        envelope = backend.issue_guardian_mandate(request.terminal, consent_hash, request.verifier, request.method)
        return Issued(mandate=envelope.hex())
