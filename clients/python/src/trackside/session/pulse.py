"""The thread that twenty times a second puts into the spool what was said meanwhile."""

import threading
from collections.abc import Callable
from typing import Final

SECONDS: Final = 0.05
"""A program that is killed loses at most what it said in so long."""


class Pulse:
    """Calls `beat` until it is stopped, whatever that raises."""

    def __init__(self, beat: Callable[[], None], complain: Callable[[str], None]) -> None:
        self._beat = beat
        self._complain = complain
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="trackside-pulse", daemon=True)

    def start(self) -> None:
        """Begin. While the interpreter goes down, nothing happens."""
        try:
            self._thread.start()
        except RuntimeError:
            self._stopped.set()

    def stop(self) -> None:
        """End; no call is under way any more when this returns."""
        self._stopped.set()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join()

    def _run(self) -> None:
        while not self._stopped.wait(SECONDS):
            try:
                self._beat()
            except Exception as error:  # noqa: BLE001 - instrumentation never breaks the work
                self._complain(f"{type(error).__name__}: {error}")
