"""The flood and dot board behind a serial line: frames, messages, the signed limit table, and the host's end.

The line itself needs the extra `emitter` (pyserial, cobs); its errors and the limit table do not.
"""

from drivers.emitter.errors import EmitterError
from drivers.emitter.limits import LimitsError, LimitTable, Source

__all__ = ["EmitterError", "LimitTable", "LimitsError", "Source"]
