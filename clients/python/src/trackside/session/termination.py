"""What SIGTERM does to a program with an open run: what Ctrl-C does, unless told otherwise."""

import contextlib
import os
import signal
import threading
import time
from types import FrameType
from typing import Final

EXIT_CODE: Final = 143
"""As shells show a program that SIGTERM has ended."""

_SAME_SECONDS: Final = 1.0
"""Whoever ends a whole group of processes often tells one of them twice."""


class TerminatedError(SystemExit):
    """SIGTERM ends the program, and on the way out everything that is open in it."""


class Termination:
    """Sees SIGTERM while a run is open, if the program leaves it to the system's default.

    A handler that the program has installed, or installs later, is left alone. A second signal
    ends the program at once, as ever.
    """

    def __init__(self) -> None:
        self.error: TerminatedError | None = None
        """What was raised, once the signal has come."""
        self._since = 0.0

    def install(self) -> None:
        """Begin; only the main thread can."""
        if threading.current_thread() is threading.main_thread():
            with contextlib.suppress(ValueError):  # not the main interpreter
                if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
                    signal.signal(signal.SIGTERM, self._handle)

    def uninstall(self) -> None:
        """End, unless the signal has come: then the program is on its way out."""
        if self.error is None:
            self._restore()

    def forget(self) -> None:
        """Leave a forked child to the default, so that it can be ended at any time."""
        self.error = None
        self._restore()

    def _handle(self, _number: int, _frame: FrameType | None) -> None:
        if self.error is None:
            self.error = TerminatedError(EXIT_CODE)
            self._since = time.monotonic()
            raise self.error
        if time.monotonic() - self._since > _SAME_SECONDS:
            self._restore()
            os.kill(os.getpid(), signal.SIGTERM)

    def _restore(self) -> None:
        if threading.current_thread() is threading.main_thread():
            with contextlib.suppress(ValueError):
                if signal.getsignal(signal.SIGTERM) == self._handle:
                    signal.signal(signal.SIGTERM, signal.SIG_DFL)
