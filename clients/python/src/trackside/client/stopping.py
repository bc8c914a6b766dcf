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
    def minding(self, each: Stoppable, timeout: float | None = None) -> Generator[None]:
        """Have this ended with all else, or after so many seconds, as long as it is under way."""
        with self._lock:
            self._open.add(each)
            if self._is_stopped:
                each.stop()
        try:
            with _stopped_after(timeout, each):
                yield
        finally:
            with self._lock:
                self._open.discard(each)


@contextmanager
def _stopped_after(timeout: float | None, each: Stoppable) -> Generator[None]:
    if timeout is None:
        yield
        return
    timer = threading.Timer(timeout, each.stop)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
