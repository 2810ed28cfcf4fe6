"""The fleet at a glance: who is there, with what, what waits, whose key no longer counts, how many people in all.

Rules kept here:
- Of people there is a number for each terminal and their sum, and nothing else.
- The number is what terminals last said; one that was not heard of counts none, and the view says how many those are.
- At `PEOPLE_ALARM` people the view says so until somebody acts: China's 2025 Measures on face recognition, Art. 15,
  ask for a filing from there on.
"""

import html
from datetime import datetime, timezone
from typing import Literal

import msgspec

from firmware.payment.trust import key_id, load_pem
from hil.backend import fleet_store
from hil.backend.fleet_store import Heard
from hil.backend.policy import Registration
from hil.backend.store import Transaction

PEOPLE_ALARM = 100_000
# terminals say how they are every ten minutes: a broker that keeps back a last will does not hide much
SILENT_S = 1_500

KeyState = Literal["counts", "suspended", "revoked"]


class TerminalView(msgspec.Struct, frozen=True):
    """A terminal. What it said of itself is empty, or 0, where it was not heard of yet.

    Attributes:
        presence: as it said, or its last will; `silent` where it should be there and said nothing new for
            `SILENT_S`; `unheard` of one that never said anything.
        heard_at: when it last said something new, whole seconds since 1970; 0 for never.
        key: whether its device key counts.
        counter_seen: the last counter the backend saw; `counter` is what the terminal says.
        waiting: envelopes without a receipt.
        models: SHA-256 of the model manifest in hex.
        key_set: version of the backend's keys it trusts.
        tls_until: when the certificate of its link ends, whole seconds since 1970.
    """

    terminal: str
    merchant: str
    presence: Literal["online", "offline", "silent", "unheard"]
    heard_at: int
    key: KeyState
    counter_seen: int
    profile: str = ""
    firmware: str = ""
    models: str = ""
    camera: str = ""
    key_set: int = 0
    counter: int = 0
    waiting: int = 0
    people: int = 0
    tls_until: int = 0


class FleetView(msgspec.Struct, frozen=True):
    """All terminals, and their sums. `alarm`: why somebody must act; empty where nobody need."""

    at: int
    key_set: int
    online: int
    unheard: int
    waiting: int
    people: int
    people_alarm: bool
    alarm: str
    terminals: tuple[TerminalView, ...]


def look(ledger: Transaction, registrations: list[Registration], key_set: int, now: int) -> FleetView:
    """See how the fleet is at `now`, in whole seconds; `key_set`: the version in force."""
    db = ledger.connection
    heard, counters, suspended = fleet_store.heard(db), fleet_store.counters(db), fleet_store.suspended_keys(db)
    views = []
    for known in sorted(registrations, key=lambda each: each.terminal):
        counter, barred = counters.get(known.terminal, (0, False))
        barred = barred or key_id(load_pem(known.public_key.encode(), known.terminal)) in suspended
        state: KeyState = "revoked" if known.revoked else "suspended" if barred else "counts"
        views.append(_terminal(known, heard.get(known.terminal), state, counter, now))
    people = sum(view.people for view in views)
    alarm = people >= PEOPLE_ALARM
    return FleetView(
        at=now,
        key_set=key_set,
        online=sum(view.presence == "online" for view in views),
        unheard=sum(view.presence == "unheard" for view in views),
        waiting=sum(view.waiting for view in views),
        people=people,
        people_alarm=alarm,
        alarm=f"{people} people are enrolled: from {PEOPLE_ALARM} on a filing is due (Art. 15)" if alarm else "",
        terminals=tuple(views),
    )


def _terminal(known: Registration, heard: Heard | None, key: KeyState, counter_seen: int, now: int) -> TerminalView:
    if heard is None:
        return TerminalView(known.terminal, known.merchant, "unheard", 0, key, counter_seen)
    said = heard.status
    silent = heard.presence == "online" and now - heard.heard_at > SILENT_S
    return TerminalView(
        terminal=known.terminal,
        merchant=known.merchant,
        presence="silent" if silent else heard.presence,
        heard_at=heard.heard_at,
        key=key,
        counter_seen=counter_seen,
        profile=said.profile,
        firmware=said.firmware,
        models=said.models.hex(),
        camera=said.camera,
        key_set=said.key_set,
        counter=said.counter,
        waiting=said.waiting,
        people=said.people,
        tls_until=said.tls_until,
    )


COLUMNS = (
    "terminal", "merchant", "presence", "heard", "key", "profile", "firmware", "models", "camera", "keys", "counter",
    "waiting", "people", "certificate ends",
)  # fmt: skip


def row(view: TerminalView) -> tuple[str, ...]:
    """A terminal in the words of a table, under `COLUMNS`."""
    counter = str(view.counter) if view.counter == view.counter_seen else f"{view.counter}, here {view.counter_seen}"
    return (
        view.terminal, view.merchant, view.presence, _time(view.heard_at), view.key, view.profile, view.firmware,
        view.models[:8], view.camera, str(view.key_set), counter, str(view.waiting), str(view.people),
        _time(view.tls_until),
    )  # fmt: skip


def summary(view: FleetView) -> str:
    """The sums in one sentence."""
    return (
        f"{len(view.terminals)} terminals, {view.online} online, {view.unheard} never heard of; "
        f"{view.waiting} envelopes waiting; {view.people} people; key set {view.key_set}; at {_time(view.at)}"
    )


def page(view: FleetView) -> str:
    """The fleet as a plain page: no script, nothing loaded from anywhere."""
    head = "".join(f"<th>{name}" for name in COLUMNS)
    rows = "".join(
        "<tr>" + "".join(f"<td>{html.escape(cell)}" for cell in row(terminal)) for terminal in view.terminals
    )
    alarm = f"<p role=alert><strong>{html.escape(view.alarm)}</strong>" if view.alarm else ""
    return (
        "<!doctype html><html lang=en><meta charset=utf-8><title>Tessera: fleet</title>"
        "<style>body{font:15px sans-serif;margin:2em}td,th{padding:.2em .8em;text-align:left}</style>"
        f"<h1>Fleet</h1>{alarm}<p>{html.escape(summary(view))}<table><tr>{head}{rows}</table></html>"
    )


def _time(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%d %H:%M:%S") if seconds else "-"
