"""What stands before the register's calls: who asks, how much they send, and how refusals are worded.

Rules kept here:
- Nothing is answered without the bearer token, not even what calls there are.
- A body is cut off at `MOST_BODY_BYTES`, before anything reads it.
- The framework's own answers repeat what they were sent; ours never do. What the database says is for the log only.
"""

import hmac
import logging
from collections.abc import Callable
from typing import Annotated, Any

from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.exceptions import HTTPException as RoutingError
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from firmware.payment.errors import PaymentError
from hil.backend.calls import CallError
from hil.backend.database import StoreError
from hil.backend.forms import Conflict, Problem

log = logging.getLogger(__name__)

MOST_BODY_BYTES = 16 * 1024
WORDS = {401: "token", 404: "not_found", 405: "method", 413: "too_large", 503: "broker"}
REFUSALS: dict[int | str, dict[str, Any]] = {
    status: {"model": Problem, "description": text}
    for status, text in {
        400: "It cannot be asked for: the code says why.",
        401: "The bearer token is missing or wrong.",
        413: "More than a call can have.",
        422: "It cannot be read: a field is missing, too many, or not as described.",
        503: "The database or the broker is away; nothing was done.",
    }.items()
}
CONFLICT: dict[int | str, dict[str, Any]] = {
    409: {"model": Conflict, "description": "It cannot be done as things are."}
}


def doorkeeper(token: str) -> Callable[..., None]:
    """Return what lets in who knows `token`, as a dependency of every call."""
    wanted = token.encode()

    def knows(given: Annotated[HTTPAuthorizationCredentials | None, Depends(HTTPBearer(auto_error=False))]) -> None:
        if given is None or not hmac.compare_digest(given.credentials.encode(), wanted):
            raise HTTPException(401, "the bearer token is missing or wrong", {"WWW-Authenticate": "Bearer"})

    return knows


class SmallBodies:
    """Cuts off whoever sends more than `MOST_BODY_BYTES`."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the call on, counting."""
        came = 0

        async def counted() -> Message:
            nonlocal came
            message = await receive()
            came += len(message.get("body", b""))
            if came > MOST_BODY_BYTES:
                raise HTTPException(413, f"more than {MOST_BODY_BYTES} bytes")
            return message

        await self._app(scope, counted, send)


def word_refusals(app: FastAPI) -> None:
    """Have everything that is refused answered as a `Problem`."""

    @app.exception_handler(PaymentError)
    def refused(_: Request, error: PaymentError) -> JSONResponse:
        return _problem(400, error.code, error.text)

    @app.exception_handler(StoreError)
    def away(_: Request, error: StoreError) -> JSONResponse:
        # no fault of who asked
        log.error("a call was not done: %s", error)
        return _problem(503, error.code, "the database is away; ask again")

    @app.exception_handler(CallError)
    def impossible(_: Request, error: CallError) -> JSONResponse:
        return _problem(409, error.code, error.text)

    @app.exception_handler(RequestValidationError)
    def malformed(_: Request, error: RequestValidationError) -> JSONResponse:
        # and UTF-8 cannot write every text that was sent: a lone surrogate
        place = ".".join(str(part) for part in error.errors()[0]["loc"])
        return _problem(422, "schema", f"{place}: {error.errors()[0]['msg']}")

    @app.exception_handler(RoutingError)
    def not_here(_: Request, error: RoutingError) -> JSONResponse:
        return _problem(error.status_code, WORDS.get(error.status_code, "malformed"), error.detail, error.headers)


def _problem(status: int, code: str, text: str, headers: Any = None) -> JSONResponse:
    detail = text.encode("ascii", "backslashreplace").decode()[:200]
    return JSONResponse({"code": code, "detail": detail}, status, headers)
