"""How much light a source has given in the last window, in few enough numbers for a microcontroller.

Rules kept here:
- Lit time and charge are summed in bins of `BIN_US`; a pulse counts where it ended, and a window is taken with one
  bin more than it has: no window, wherever it begins, holds more than was allowed.
- The sums outlive sessions and tables: beginning anew gives nothing back.
"""

from collections import deque

from drivers.emitter.limits import LimitTable, Source

BIN_US = 50_000
_LONGEST_US = 2_000_000


class Budget:
    """The light of one source."""

    def __init__(self) -> None:
        self._bins: deque[tuple[int, int, int]] = deque()

    def spend(self, now_us: int, lit_us: int, charge_ma_us: int) -> None:
        """A pulse of `lit_us` ended at `now_us`."""
        number = now_us // BIN_US
        if self._bins and self._bins[-1][0] == number:
            _, lit, charge = self._bins.pop()
            lit_us, charge_ma_us = lit + lit_us, charge + charge_ma_us
        self._bins.append((number, lit_us, charge_ma_us))
        while self._bins[0][0] < number - _LONGEST_US // BIN_US - 1:
            self._bins.popleft()

    def left_us(self, now_us: int, current_ma: int, source: Source, table: LimitTable) -> int:
        """How long the source may be lit at `current_ma` from `now_us` on, microseconds."""
        window_us = table.window_ms * 1000
        first = now_us // BIN_US - -(-window_us // BIN_US)
        lit_us = sum(lit for number, lit, _ in self._bins if number >= first)
        charge = sum(charge for number, _, charge in self._bins if number >= first)
        by_duty = source.max_duty_permille * window_us // 1000 - lit_us
        by_charge = (source.average_ma * window_us - charge) // current_ma
        return max(0, min(by_duty, by_charge))
