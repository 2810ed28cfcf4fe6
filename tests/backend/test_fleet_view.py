"""The fleet at a glance: what each terminal said, whose key counts, and the alarm when many people are enrolled."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import msgspec
import pytest
from fastapi import FastAPI

from hil.backend.fleet_routes import add_fleet
from hil.backend.fleet_view import PEOPLE_ALARM, SILENT_S, TerminalView, page, row
from hil.backend.keys import registration
from hil.backend.shop import Shop
from hil.backend.simulator import SimulatedTerminal, new_element
from tests.backend.fleet import fleet, status


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    shop = Shop(tmp_path)
    yield shop
    shop.close()


def till(shop: Shop) -> TerminalView:
    return fleet(shop).view().terminals[0]


def test_each_terminal_is_seen_as_it_last_said_it_is(shop: Shop) -> None:
    assert shop.code(shop.authorized()) == "approved"
    fleet(shop).take_status("till-1", status(shop, people=12, waiting=2, counter=3, key_set=4, tls_until=shop.time))
    view = fleet(shop).view()
    assert (view.online, view.unheard, view.waiting, view.people) == (1, 1, 2, 12)
    first, second = view.terminals
    assert (first.presence, first.heard_at, first.key) == ("online", shop.time, "counts")
    assert (first.counter, first.counter_seen, first.key_set, first.firmware) == (3, 1, 4, "0.1.0")
    assert (second.terminal, second.presence, second.people) == ("till-2", "unheard", 0)
    assert "3, here 1" in row(first)


def test_a_suspended_key_shows_until_another_takes_its_place_and_the_terminal_pays_again(
    shop: Shop, tmp_path: Path
) -> None:
    message = shop.till.read(shop.authorized())
    assert shop.code(shop.till.sign(message)) == "approved"
    assert shop.code(shop.till.sign(msgspec.structs.replace(message, amount_minor=1))) == "clone_suspected"
    assert till(shop).key == "suspended"
    assert shop.code(shop.authorized()) == "suspended"
    again = new_element()
    shop.till = SimulatedTerminal(tmp_path / "again.db", shop.trust, again)
    shop.terminals["till-1"].outbox.close()
    shop.terminals["till-1"] = shop.till
    fresh = registration("till-1", shop.till.merchant, "demo", again.public_key)
    shop.register_again(public_key=fresh.public_key)
    assert till(shop).key == "counts"
    assert shop.code(shop.authorized()) == "approved"


def test_a_revoked_key_shows(shop: Shop) -> None:
    shop.register_again(revoked=True)
    assert till(shop).key == "revoked"


def test_a_terminal_whose_last_will_was_kept_back_shows_as_silent(shop: Shop) -> None:
    fleet(shop).take_status("till-1", status(shop))
    shop.time += SILENT_S
    assert till(shop).presence == "online"
    shop.time += 1
    assert till(shop).presence == "silent"
    assert fleet(shop).view().online == 0
    fleet(shop).take_status("till-1", status(shop, sequence=2))
    assert till(shop).presence == "online"


@pytest.mark.parametrize(("people", "due"), [(PEOPLE_ALARM - 1, False), (PEOPLE_ALARM, True)])
def test_the_alarm_is_raised_at_as_many_people_as_a_filing_is_due_for(shop: Shop, people: int, due: bool) -> None:
    fleet(shop).take_status("till-1", status(shop, people=people))
    view = fleet(shop).view()
    assert (view.people_alarm, bool(view.alarm)) == (due, due)
    assert ("role=alert" in page(view)) == due


def test_the_page_is_plain_and_json_is_for_programs(shop: Shop) -> None:
    fleet(shop).take_status("till-1", status(shop))
    shop.registrations[1] = msgspec.structs.replace(shop.registrations[1], merchant="<script>alert(1)</script>")
    app = FastAPI()
    add_fleet(app, fleet(shop))

    async def got(accept: str, path: str = "/fleet") -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://register") as client:
            return await client.get(path, headers={"Accept": accept})

    shown = asyncio.run(got("text/html,*/*"))
    assert shown.headers["content-type"].startswith("text/html")
    assert "<script" not in shown.text
    assert "&lt;script&gt;" in shown.text
    told = json.loads(asyncio.run(got("*/*")).text)
    assert [terminal["terminal"] for terminal in told["terminals"]] == ["till-1", "till-2"]
    sums = asyncio.run(got("*/*", "/fleet/metrics")).text.splitlines()
    assert 'tessera_fleet_terminals{key="counts",presence="online"} 1.0' in sums
    assert 'tessera_fleet_terminals{key="counts",presence="unheard"} 1.0' in sums
    assert "tessera_fleet_people 3.0" in sums
    assert "till" not in "".join(sums)
