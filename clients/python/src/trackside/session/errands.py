"""Work that may take long, done in order by one thread, so that neither user nor spool waits."""

import contextlib
import queue
import threading
from collections.abc import Callable

Errand = Callable[[], None]


class Errands:
    """A thread that is started with the first errand. An errand that fails is reported once."""

    def __init__(self, complain: Callable[[str], None]) -> None:
        self._complain = complain
        self._queue: queue.SimpleQueue[Errand | None] = queue.SimpleQueue()
        self._starting = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="trackside-errands", daemon=True)

    def add(self, errand: Errand) -> None:
        """Do this, after what was added before."""
        self._queue.put(errand)
        with self._starting:
            if self._thread.ident is None:
                with contextlib.suppress(RuntimeError):  # the interpreter goes down
                    self._thread.start()

    def finish(self, timeout: float) -> None:
        """Wait until everything is done, at most so long."""
        self._queue.put(None)
        with self._starting:
            is_at_work = self._thread.is_alive()
        if is_at_work:
            self._thread.join(timeout)

    def _run(self) -> None:
        while (errand := self._queue.get()) is not None:
            try:
                errand()
            except Exception as error:  # noqa: BLE001 - instrumentation never breaks the work
                self._complain(f"{type(error).__name__}: {error}")
