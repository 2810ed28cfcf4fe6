"""Lets workers have their messages at one moment."""

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from hil.backend.backend import Backend


class Delivery(NamedTuple):
    """What one worker gets."""

    worker: Backend
    envelope: bytes
    topic: str = "till-1"


def at_once(deliveries: Sequence[Delivery]) -> list[bytes]:
    """Let all workers have theirs at one moment; return what each answered."""
    ready = threading.Barrier(len(deliveries))

    def deliver(one: Delivery) -> bytes:
        ready.wait(20)
        return one.worker.handle(one.topic, one.envelope)

    with ThreadPoolExecutor(len(deliveries)) as pool:
        return list(pool.map(deliver, deliveries))
