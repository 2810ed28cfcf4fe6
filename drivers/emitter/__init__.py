"""The flood and dot board behind a serial line: frames, messages, the signed limit table, and the host's end."""

from drivers.emitter.board import EmitterBoard
from drivers.emitter.errors import EmitterError
from drivers.emitter.limits import LimitsError, LimitTable, Source

__all__ = ["EmitterBoard", "EmitterError", "LimitTable", "LimitsError", "Source"]
