"""Which topic carries what: `tessera/v1/<terminal>/<kind>`."""

from typing import get_args

from firmware.runtime.messages import Inbound, Outbound

_ROOT = "tessera/v1"
INBOUND: tuple[Inbound, ...] = get_args(Inbound)
OUTBOUND: tuple[Outbound, ...] = get_args(Outbound)
# the broker keeps the last one, for whoever comes later
RETAINED: frozenset[Inbound | Outbound] = frozenset({"key-set", "status"})


def topic(terminal: str, kind: Inbound | Outbound) -> str:
    """Return the topic of one kind of envelope for one terminal."""
    return f"{_ROOT}/{terminal}/{kind}"


def inbound_kind(terminal: str, received: str) -> Inbound | None:
    """Return what `received` carries to this terminal, or None if it is no topic of ours."""
    for kind in INBOUND:
        if received == topic(terminal, kind):
            return kind
    return None
