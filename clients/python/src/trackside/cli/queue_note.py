"""Tells whoever follows a run that waits for an agent what it waits for."""

import time
from typing import Final

from trackside.cli.safe_text import harmless_cell
from trackside.cli.terminal import Terminal
from trackside.client.connection import Connection
from trackside.client.errors import TracksideError
from trackside.client.listing import list_runners
from trackside.client.queueing import awaited, is_queued
from trackside_protos.runs.v1.run_pb2 import Run

_MOMENT: Final = 2.0
"""Seconds that a run may wait without a word about it."""


class QueueNote:
    """Says once for each reason why a run does not begin.

    Args:
        connection: Where to ask what the agents do.
        terminal: Where to say it.
    """

    def __init__(self, connection: Connection, terminal: Terminal) -> None:
        self._connection = connection
        self._terminal = terminal
        self._next_look = time.monotonic() + _MOMENT
        self._said = ""

    def look(self, run: Run) -> None:
        """Ask now and then while the run waits."""
        now = time.monotonic()
        if not is_queued(run) or now < self._next_look:
            return
        try:
            reason = awaited(run, list_runners(self._connection))
        except TracksideError:  # the watch of the run tells what is to be told of it
            reason = ""
        # What asking costs others is bounded, however long the queue is.
        self._next_look = now + 5 * _MOMENT
        if reason and reason != self._said:
            self._said = reason
            self._terminal.say(f"Waits for {harmless_cell(reason)}.")
