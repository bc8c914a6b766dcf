"""Ends what is under way from another thread."""

import threading
from collections.abc import Generator
from contextlib import contextmanager
from typing import Protocol


class Stoppable(Protocol):
    """Something that waits for a server and can be told not to."""

    def stop(self) -> None:
        """End it soon; from any thread, and any number of times."""
        ...


class Stopper:
    """Knows what is under way, to end all of it and whatever begins later."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: set[Stoppable] = set()
        self._is_stopped = False

    def stop(self) -> None:
        """End everything, present and future; from any thread."""
        with self._lock:
            self._is_stopped = True
            for each in self._open:
                each.stop()

    @contextmanager
    def minding(self, each: Stoppable) -> Generator[None]:
        """Have this ended with all else as long as it is under way."""
        with self._lock:
            self._open.add(each)
            if self._is_stopped:
                each.stop()
        try:
            yield
        finally:
            with self._lock:
                self._open.discard(each)
