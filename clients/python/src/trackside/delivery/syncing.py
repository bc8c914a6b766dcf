"""Puts what durable outboxes take in on the disk, and only then lets it be sent."""

import threading
from collections.abc import Callable
from typing import Final

from trackside.delivery.outbox import Outbox

PERIOD_SECONDS: Final = 0.05
"""Spools are synced at most so often; all that changed meanwhile wait for one turn."""


class Syncing:
    """A thread for all durable outboxes of a delivery; `on_synced` is told after each."""

    def __init__(self, on_synced: Callable[[Outbox], None]) -> None:
        self._on_synced = on_synced
        self._over = threading.Event()
        self._changed: dict[Outbox, None] = {}
        self._condition = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="trackside-syncing", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def note(self, outbox: Outbox) -> None:
        """Sync this soon: something was added to it."""
        with self._condition:
            self._changed[outbox] = None
            self._condition.notify()

    def stop(self, timeout: float) -> None:
        """End. What is not synced by then is not sent by this process."""
        self._over.set()
        with self._condition:
            self._condition.notify()
        if self._thread.is_alive():
            self._thread.join(timeout)

    def _run(self) -> None:
        while not self._over.is_set():
            with self._condition:
                self._condition.wait_for(lambda: self._changed or self._over.is_set())
                changed, self._changed = self._changed, {}
            for outbox in changed:
                outbox.spool.sync()
                self._on_synced(outbox)
            self._over.wait(PERIOD_SECONDS)
