"""Lets workers do what they do at one moment."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from hil.backend.backend import Backend

T = TypeVar("T")


@dataclass(frozen=True)
class Delivery:
    """What one worker gets; called, it is delivered."""

    worker: Backend
    envelope: bytes
    topic: str = "till-1"

    def __call__(self) -> bytes:
        return self.worker.handle(self.topic, self.envelope)


def at_once(jobs: Sequence[Callable[[], T]]) -> list[T]:
    """Let all go at one moment; return what each came to."""
    ready = threading.Barrier(len(jobs))

    def go(job: Callable[[], T]) -> T:
        ready.wait(20)
        return job()

    with ThreadPoolExecutor(len(jobs)) as pool:
        return list(pool.map(go, jobs))
