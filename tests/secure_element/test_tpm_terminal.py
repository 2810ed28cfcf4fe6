"""A terminal on a real software TPM: its counter when a whole disk is put back, and what happens when it is pulled."""

import asyncio
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from firmware.core.stand import Stand
from firmware.core.terminal import Terminal
from firmware.payment.counting import BATCH
from firmware.payment.outbox import Outbox
from hil.backend.shop import Shop
from tests.secure_element.tpm_device import Device, bench, provisioned, shelf

__all__ = ["bench", "provisioned", "shelf"]


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    (tmp_path / "shop").mkdir()
    shop = Shop(tmp_path / "shop")
    yield shop
    shop.close()


def test_a_whole_disk_put_back_signs_no_counter_twice(bench: Device, shop: Shop) -> None:
    element, path = bench.open(), shop.folder / "till-1.db"
    shop.till.outbox.close()
    shop.till.outbox = Outbox(path, element)
    assert shop.code(shop.authorized()) == "approved"
    accepted = shop.open()
    shop.till.outbox.close()
    element.close()
    image = bench.copy()
    shutil.copy(path, image / path.name)

    element = bench.open()
    shop.till.outbox = Outbox(path, element)
    assert not shop.till.outbox.put_back
    (left,) = shop.till.outbox.interrupted()
    declined = shop.till.decline(left, "interrupted", shop.time)
    assert shop.code(declined) == "declined"
    shop.till.outbox.close()
    element.close()

    shutil.copy(image / path.name, path)
    bench.put_back(image)
    element = bench.open()
    shop.till.outbox = Outbox(path, element)
    assert shop.till.outbox.put_back, "nothing is authorized from it without a connection any more"
    (left,) = shop.till.outbox.interrupted()
    assert left.id == accepted.intent.id
    assert shop.code(shop.till.decline(left, "interrupted", shop.time)) != "clone_suspected"
    envelope = shop.authorized()
    assert shop.code(envelope) == "approved"
    assert shop.till.read(envelope).counter >= element.counter() * BATCH
    element.close()


def test_a_tpm_pulled_out_takes_the_terminal_out_of_service(bench: Device) -> None:
    async def body() -> None:
        element = bench.open()
        terminal = cast("Terminal", SimpleNamespace(parts=SimpleNamespace(element=element)))
        terminal.stand = Stand(cast("Any", None), None, tell_values=False)
        terminal._look_for_element = lambda: Terminal._look_for_element(terminal)  # type: ignore[method-assign]
        watching = asyncio.create_task(Terminal.watch_element(terminal, every_s=0.0))
        await asyncio.sleep(0)
        assert terminal.stand.closed == ""
        bench.tpm.kill()
        while not terminal.stand.closed:
            await asyncio.sleep(0)
        watching.cancel()
        assert "the TPM answers no more" in terminal.stand.closed
        element.close()

    asyncio.run(body())
