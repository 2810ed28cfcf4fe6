"""What the backend counts, for Prometheus at the register's `/metrics`.

Rules kept here:
- No payer, no amount, no identifier: how many, which outcome, how long, and which worker.
- Several processes count into files of one folder (`FOLDER_VARIABLE`), and the register adds them up; without that
  folder a process counts for itself.
"""

import os

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from firmware.payment import cose, schema
from firmware.payment.messages import Receipt

# read by prometheus_client when it is imported: set by whoever starts the processes
FOLDER_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"

_REGISTRY = CollectorRegistry()
_ANSWERS = Counter(
    "tessera_backend_answers",
    "Receipts given, repeated ones included; `code` is of a rejection.",
    ["worker", "outcome", "code"],
    registry=_REGISTRY,
)
_SECONDS = Histogram(
    "tessera_backend_answer_seconds",
    "From a message's arrival to its committed receipt.",
    ["worker"],
    buckets=(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 5),
    registry=_REGISTRY,
)
_REFUSALS = Counter(
    "tessera_backend_refusals",
    "Messages that got no answer: nobody may have one, or there was nothing new in them.",
    ["worker", "kind", "code"],
    registry=_REGISTRY,
)
_FAILURES = Counter(
    "tessera_backend_failures",
    "Messages neither answered nor acknowledged, because the database was away.",
    ["worker"],
    registry=_REGISTRY,
)
_INTENTS = Counter("tessera_backend_intents", "Payments asked for.", registry=_REGISTRY)


def answered(worker: int, receipt: bytes, seconds: float) -> None:
    """Count an answer of ours that took so long."""
    said = schema.decode(cose.peek(receipt), Receipt)
    _ANSWERS.labels(str(worker), said.outcome, said.code).inc()
    _SECONDS.labels(str(worker)).observe(seconds)


def refused(worker: int, kind: str, code: str) -> None:
    """Count a message of this kind, the last part of its topic, that got no answer."""
    _REFUSALS.labels(str(worker), kind, code).inc()


def failed(worker: int) -> None:
    """Count a message that could not be answered."""
    _FAILURES.labels(str(worker)).inc()


def asked() -> None:
    """Count an intent."""
    _INTENTS.inc()


def page() -> bytes:
    """Everything counted so far, in Prometheus' text format."""
    registry = _REGISTRY
    if FOLDER_VARIABLE in os.environ:
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return generate_latest(registry)
