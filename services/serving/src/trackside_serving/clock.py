"""The server's clock: wall time at the start, and from there on what a steady clock counts.

So a wall clock that jumps while the server runs moves no deadline and no order.
"""

import time
from collections.abc import Callable
from typing import Final

ClockMs = Callable[[], int]
"""Returns milliseconds since 1970."""

SERVERS_APART_MS: Final = 60_000
"""What was noted further ahead than this was noted by a clock that has been set back since."""

# The one that counts on while the machine sleeps, or the server would be late ever after.
_STEADY: Final[int] = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def steady_ms() -> int:
    """Return milliseconds since some moment, which only go forward."""
    return time.clock_gettime_ns(_STEADY) // 1_000_000


def wall_ms() -> int:
    """Return milliseconds since 1970 as the machine's clock has it now: tokens are made by it."""
    return time.time_ns() // 1_000_000


def forward_clock() -> ClockMs:
    """Return a clock that only goes forward."""
    base_ms = wall_ms() - steady_ms()
    return lambda: base_ms + steady_ms()
