"""`GET /fleet` at the register's address: JSON for programs, a plain page where HTML is asked for."""

from typing import Annotated

import msgspec
from fastapi import FastAPI, Header, Response

from hil.backend.fleet import Fleet
from hil.backend.fleet_view import page

CONTENT = {"application/json": {"schema": {"type": "object"}}, "text/html": {"schema": {"type": "string"}}}


def add_fleet(app: FastAPI, fleet: Fleet) -> None:
    """Add it to the register's calls, behind the same door."""

    @app.get("/fleet", response_class=Response, responses={200: {"content": CONTENT}})
    def seen(accept: Annotated[str, Header()] = "") -> Response:
        """Every terminal as it last said it is, and their sums."""
        view = fleet.view()
        if "text/html" in accept:
            return Response(page(view), media_type="text/html; charset=utf-8")
        return Response(msgspec.json.encode(view), media_type="application/json")
