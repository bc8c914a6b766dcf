"""The pace of commits: where many senders send a little each, a moment's wait makes one of several.

What a commit costs hardly depends on how much is in it. Senders that wait for each other's
commits form groups by themselves; those that send at times of their own do not, and would have a
commit each. After PostgreSQL's `commit_delay` and `commit_siblings`.
"""

import time
from collections import deque
from collections.abc import Callable
from typing import Final

GAP_SECONDS: Final = 0.008
"""How far apart commits are kept, from begin to begin."""

SIBLINGS: Final = 8
"""How many senders there must be among the latest commits for one to wait for another."""

_LATEST: Final = 16
_BUSY_SECONDS: Final = 2 * _LATEST * GAP_SECONDS


class Pace:
    """Remembers who had the latest commits. A sender is never kept waiting for itself alone."""

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._clock = clock
        self._sleep = sleep
        self._latest: deque[tuple[float, int]] = deque(maxlen=_LATEST)

    def wait(self, sender: int) -> None:
        """Wait until it is time to commit what a sender sent, and whatever came meanwhile."""
        now = self._clock()
        if self._is_busy(now):
            remaining = self._latest[-1][0] + GAP_SECONDS - now
            if remaining > 0:
                self._sleep(remaining)
        self._latest.append((self._clock(), sender))

    def _is_busy(self, now: float) -> bool:
        if len(self._latest) < _LATEST or now - self._latest[0][0] > _BUSY_SECONDS:
            return False
        return len({sender for _, sender in self._latest}) >= SIBLINGS
