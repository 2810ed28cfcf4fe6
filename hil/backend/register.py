"""What a cash register calls: ask for a payment, see how it stands, get a payer mandate. HTTP on 127.0.0.1.

Rules kept here:
- Every call carries the bearer token.
- `GET /intents/{id}` is the truth about a payment, whatever a terminal's screen says.
- A call that cannot be read is told where and why, and never what it said.
"""

import hmac
from typing import Annotated, Protocol

import msgspec
from fastapi import Depends, FastAPI, Header, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from firmware.payment.errors import PaymentError
from firmware.payment.messages import Assurance
from firmware.payment.money import parse_amount
from hil.backend import metrics
from hil.backend.backend import Backend
from hil.backend.orders import RegisterView

Token = Annotated[str, Field(min_length=1, max_length=64)]
Hex32 = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
Hex64 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Link(Protocol):
    """What the register needs of the way to the terminals; `mqtt.BackendLink` is one."""

    @property
    def connected(self) -> bool:
        """Whether an intent would go out now."""

    def send_intent(self, terminal: str, envelope: bytes) -> None:
        """Send it."""

    def send_cancellation(self, terminal: str, envelope: bytes) -> None:
        """Tell the terminal that an intent is taken back."""


class IntentRequest(BaseModel):
    """A payment to ask for: `amount` written out, e.g. `12.50`; `assurance` where more is wanted than by the policy."""

    model_config = ConfigDict(extra="forbid", strict=True)
    terminal: Token
    amount: Token
    currency: Token
    payer: Token
    assurance: Assurance = "geometry"


class MandateRequest(BaseModel):
    """A mandate to issue; `consent_hash` is SHA-256 in hex of the consent's bytes.

    `method`: how the account's holder was authenticated out of band. Who asks answers for it.
    """

    model_config = ConfigDict(extra="forbid", strict=True)
    terminal: Token
    payer: Token
    purpose: Token
    consent_hash: Hex64
    method: Token = "simulated"


class GuardianMandateRequest(BaseModel):
    """A guardian's mandate to issue: `verifier` made sure who the guardian is, by `method`. Who asks answers for it."""

    model_config = ConfigDict(extra="forbid", strict=True)
    terminal: Token
    consent_hash: Hex64
    verifier: Token
    method: Token


def create_app(backend: Backend, link: Link, token: str) -> FastAPI:
    """Return the application; `token` is what callers must know."""

    def authorized(authorization: Annotated[str, Header()] = "") -> None:
        if not hmac.compare_digest(authorization.encode(), f"Bearer {token}".encode()):
            raise HTTPException(401, "the bearer token is missing or wrong")

    app = FastAPI(dependencies=[Depends(authorized)], docs_url=None, redoc_url=None, openapi_url=None)

    @app.exception_handler(PaymentError)
    def refused(_: Request, error: PaymentError) -> JSONResponse:
        # `storage`: the database is away, which is no fault of who asked; nothing was done
        return JSONResponse({"code": error.code, "detail": error.text}, 503 if error.code == "storage" else 400)

    @app.exception_handler(RequestValidationError)
    def malformed(_: Request, error: RequestValidationError) -> JSONResponse:
        # the framework's own answer repeats the input, and fails on text that UTF-8 cannot write (a lone surrogate)
        places = ".".join(str(part) for part in error.errors()[0]["loc"])
        detail = f"{places}: {error.errors()[0]['msg']}".encode("ascii", "backslashreplace").decode()
        return JSONResponse({"code": "schema", "detail": detail[:200]}, 422)

    @app.get("/health")
    def health() -> dict[str, bool]:
        return {"broker": link.connected}

    @app.get("/metrics")
    def counted() -> Response:
        return Response(metrics.page(), media_type="text/plain; version=0.0.4; charset=utf-8")

    @app.post("/intents", status_code=201)
    def ask(request: IntentRequest) -> dict[str, str]:
        if not link.connected:
            raise HTTPException(503, "the backend has no broker; nothing was asked")
        amount = parse_amount(request.amount, request.currency)
        intent, envelope = backend.issue_intent(request.terminal, amount, request.payer, request.assurance)
        link.send_intent(request.terminal, envelope)
        return {"intent": intent.hex()}

    @app.get("/intents/{intent}")
    def state(intent: Hex32) -> dict[str, str | int]:
        return _told(backend.state(bytes.fromhex(intent)))

    @app.post("/intents/{intent}/cancel")
    def cancel(intent: Hex32) -> dict[str, str | int]:
        view, envelope = backend.cancel(bytes.fromhex(intent))
        if envelope is not None:
            link.send_cancellation(view.terminal, envelope)
        return _told(view)

    @app.post("/mandates", status_code=201)
    def mandate(request: MandateRequest) -> dict[str, str]:
        consent_hash = bytes.fromhex(request.consent_hash)
        envelope = backend.issue_mandate(request.terminal, request.payer, request.purpose, consent_hash, request.method)
        return {"mandate": envelope.hex()}

    @app.post("/guardian-mandates", status_code=201)
    def guardian_mandate(request: GuardianMandateRequest) -> dict[str, str]:
        consent_hash = bytes.fromhex(request.consent_hash)
        envelope = backend.issue_guardian_mandate(request.terminal, consent_hash, request.verifier, request.method)
        return {"mandate": envelope.hex()}

    return app


def _told(view: RegisterView) -> dict[str, str | int]:
    told: dict[str, str | int] = msgspec.to_builtins(view)
    return told
