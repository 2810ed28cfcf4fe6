"""`GET /fleet` at the register's address: JSON for programs, a plain page where HTML is asked for, sums for Prometheus.

The sums are of the whole fleet, asked of the database at each call; `/metrics` counts what the processes did.
"""

from typing import Annotated

import msgspec
from fastapi import FastAPI, Header, Response
from prometheus_client import CollectorRegistry, Gauge, generate_latest

from hil.backend.fleet import Fleet
from hil.backend.fleet_view import PEOPLE_ALARM, FleetView, page

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

    @app.get("/fleet/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
    def sums() -> Response:
        """The sums, in Prometheus' text format: for an alarm that reaches somebody."""
        return Response(_sums(fleet.view()), media_type="text/plain; version=0.0.4; charset=utf-8")


def _sums(view: FleetView) -> bytes:
    registry = CollectorRegistry()
    presences, keys = ("online", "offline", "silent", "unheard"), ("counts", "suspended", "revoked")
    terminals = Gauge("tessera_fleet_terminals", "Terminals registered.", ["presence", "key"], registry=registry)
    for presence in presences:
        for key in keys:
            found = sum((each.presence, each.key) == (presence, key) for each in view.terminals)
            terminals.labels(presence, key).set(found)
    people = Gauge("tessera_fleet_people", "People enrolled, as terminals last said.", registry=registry)
    people.set(view.people)
    limit = Gauge("tessera_fleet_people_alarm", "As many people as a filing is due for.", registry=registry)
    limit.set(PEOPLE_ALARM)
    waiting = Gauge("tessera_fleet_waiting", "Envelopes in outboxes without a receipt.", registry=registry)
    waiting.set(view.waiting)
    return generate_latest(registry)
