"""Several watches as one queue of events, for whoever shows them together."""

import queue
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, Self

from google.protobuf.message import Message

from trackside.client.errors import TracksideError
from trackside.client.watch import Watch

_ROOM: Final = 256
_GIVE_WAY: Final = 0.2


@dataclass(frozen=True, slots=True)
class Event:
    """What came from one source: a response, an error, or neither when the source has ended."""

    source: str
    response: Message | None = None
    error: TracksideError | None = None


class Feed:
    """Runs each source in a thread of its own; a full queue makes the sources wait.

    Order is kept within a source. `close` ends all sources.
    """

    def __init__(self) -> None:
        self._events: queue.Queue[Event] = queue.Queue(_ROOM)
        self._watches: dict[str, Watch[Any]] = {}
        self._ended: set[str] = set()
        self._closed = threading.Event()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __contains__(self, source: str) -> bool:
        return source in self._watches

    def add(self, source: str, watch: Watch[Any]) -> None:
        """Begin to read a watch."""
        self._watches[source] = watch
        self._start(source, watch)

    def add_polling(self, source: str, ask: Callable[[], Message], seconds: float) -> None:
        """Begin to ask, and again every so often; the next answer mends a failure."""

        def answers() -> Iterator[Message]:
            while not self._closed.is_set():
                with suppress(TracksideError):
                    yield ask()
                self._closed.wait(seconds)

        self._start(source, answers())

    def _start(self, source: str, responses: Iterator[Any]) -> None:
        pump = threading.Thread(target=self._pump, args=(source, responses), daemon=True)
        pump.start()

    def _pump(self, source: str, responses: Iterator[Any]) -> None:
        try:
            for response in responses:
                self._put(Event(source, response))
        except TracksideError as error:
            self._put(Event(source, error=error))
        else:
            self._put(Event(source))

    def _put(self, event: Event) -> None:
        while not self._closed.is_set():
            try:
                self._events.put(event, timeout=_GIVE_WAY)
            except queue.Full:
                continue
            return

    def next(self, timeout: float) -> Event | None:
        """Return the next event; `None` when none comes in `timeout` seconds."""
        try:
            event = self._events.get(timeout=timeout)
        except queue.Empty:
            return None
        if event.response is None and event.error is None:
            self._ended.add(event.source)
        return event

    def within(self, seconds: float) -> Iterator[Event]:
        """Yield what comes in this time; ends early once something came and no more waits."""
        end = time.monotonic() + seconds
        event = self.next(seconds)
        while event is not None:
            yield event
            event = self.next(0.0) if time.monotonic() < end else None

    def has_told_all(self, source: str) -> bool:
        """Say whether this source has ended, and all that it told was taken out."""
        return source in self._ended

    def outage(self) -> TracksideError | None:
        """Return why nothing comes at present from one of the watches; `None` if all is well."""
        return next((watch.outage for watch in self._watches.values() if watch.outage), None)

    def close(self) -> None:
        """End all sources; their threads end soon."""
        self._closed.set()
        for watch in self._watches.values():
            watch.stop()
