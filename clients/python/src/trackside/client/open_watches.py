"""The watches that a handle has open, which whoever waits for them may end."""

import threading
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from trackside.client.watch import Watch


class OpenWatches:
    """Keeps the watches that are gone through. May be used from many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: set[Watch[Any]] = set()
        self._is_interrupted = False

    def interrupt(self) -> None:
        """Stop all, present and future."""
        with self._lock:
            self._is_interrupted = True
            for each in self._open:
                each.stop()

    @contextmanager
    def open(self, responses: Watch[Any], timeout: float | None = None) -> Generator[None]:
        """Keep this one in the meantime, stop it after so many seconds, and close it at the end."""
        with self._lock:
            self._open.add(responses)
            if self._is_interrupted:
                responses.stop()
        try:
            with responses, _stopped_after(timeout, responses):
                yield
        finally:
            with self._lock:
                self._open.discard(responses)


@contextmanager
def _stopped_after(timeout: float | None, responses: Watch[Any]) -> Generator[None]:
    if timeout is None:
        yield
        return
    timer = threading.Timer(timeout, responses.stop)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
