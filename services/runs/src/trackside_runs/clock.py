"""The server's clock: wall time at the start, and from there on what a steady clock counts.

So a wall clock that jumps while the server runs moves no deadline and no order.
"""

import time
from collections.abc import Callable

ClockMs = Callable[[], int]
"""Returns milliseconds since 1970."""


def forward_clock() -> ClockMs:
    """Return a clock that only goes forward."""
    base = time.time_ns() - time.monotonic_ns()
    return lambda: (base + time.monotonic_ns()) // 1_000_000
