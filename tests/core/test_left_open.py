"""What a dead process left open is declined once the backend has spoken, and never while somebody is served."""

import asyncio

import pytest

from firmware.payment.errors import PaymentError
from firmware.runtime.messages import Delivered
from tests.core.test_out_of_service import Element, terminal_of

BEACON = Delivered(kind="beacon", envelope=b"")


def test_a_beacon_that_is_believed_declines_what_was_left_open_while_nobody_is_served(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def body() -> None:
        terminal, declined = terminal_of(Element()), list[str]()
        monkeypatch.setattr(terminal.payments.delivery, "decline_interrupted", lambda: declined.append("declined"))

        def disbelieved(_: bytes) -> None:
            raise PaymentError("time", "nobody asked")

        monkeypatch.setattr(terminal.liaison, "on_beacon", disbelieved)
        terminal._delivered(BEACON)
        assert declined == []
        monkeypatch.setattr(terminal.liaison, "on_beacon", lambda _: None)
        terminal.stand.begin(asyncio.sleep(0), "payment")
        terminal._delivered(BEACON)
        assert declined == [], "the intent in hand is open too"
        while terminal.stand.busy:
            await asyncio.sleep(0)
        terminal._delivered(BEACON)
        assert declined == ["declined"]

    asyncio.run(body())
