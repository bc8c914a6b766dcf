"""That a run is ended once, whoever comes first to it: its program, or a request from outside."""

import threading
from collections.abc import Callable


class Ending:
    """The end of one run, which somebody may begin once.

    May be used from any thread, and from a signal handler that interrupts its own use.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._has_begun = False
        self._beginner = 0
        self._event = threading.Event()

    @property
    def has_begun(self) -> bool:
        """Whether somebody ends the run, or has."""
        return self._has_begun

    def begin(self) -> bool:
        """Begin it; say whether that is left to the caller."""
        if self._has_begun:  # a forked child must not ask for the lock of a thread that it has not
            return False
        with self._lock:
            if self._has_begun:
                return False
            self._has_begun, self._beginner = True, threading.get_ident()
        self._event.set()
        return True

    def take_up(self) -> bool:
        """Begin it, or take it up again; say whether it is left to the caller.

        To be called by a thread that cannot be in the midst of it: if it has begun it, then an
        interrupt has torn it out.
        """
        return self.begin() or self._beginner == threading.get_ident()

    def unless_begun(self, act: Callable[[], None]) -> None:
        """Do this, unless the end has begun; it does not begin meanwhile."""
        with self._lock:
            if not self._has_begun:
                act()

    def wait_begun(self, timeout: float) -> bool:
        """Wait until the end has begun, at most so long; say whether it has."""
        return self._event.wait(timeout)
