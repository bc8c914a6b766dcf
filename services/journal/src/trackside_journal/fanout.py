"""Fan-out within a process: one byte string to many watchers, memory bounded for each.

A watcher holds references to what waits for it, at most 1 MiB by count; past that it is sent
back to the store. A ticker wakes all watchers, so that none needs a timer of its own.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from trackside_journal.notices import Notice
from trackside_journal.pieces import Piece
from trackside_journal.tasks import cancel
from trackside_serving.errors import ServiceError

_LOG: Final = logging.getLogger(__name__)

BUFFER_BYTES: Final = 1 << 20
"""What may wait for one watcher."""

NOTICE_BYTES: Final = 200
"""What a notice takes besides its payload."""

JOIN_BYTES: Final = 64 << 10
"""About how much of what waits is joined into one piece."""

TICK_SECONDS: Final = 1.0
"""How often watchers are woken to see whether a bookmark is due."""

ReadHeads = Callable[[Sequence[str]], Awaitable[Mapping[str, int]]]


@dataclass(slots=True, eq=False)
class _Topic:
    """What the watchers of one topic share."""

    name: str
    watchers: "set[Subscription]" = field(default_factory=set)
    joined_after: int = -1
    joined: Piece = field(default_factory=lambda: Piece(b"", -1))
    """The piece made last, and the position it follows: the next watcher wants the same."""


class Subscription:
    """One watcher's place in the hub. Used in the event loop only."""

    __slots__ = (
        "_hub",
        "_latest",
        "_loop",
        "_size",
        "_topic",
        "_waiter",
        "_waiting",
        "must_read",
        "position",
        "ticked",
    )

    def __init__(self, hub: "Hub", topic: _Topic) -> None:
        self.position: int = 0
        """Everything up to here was given to the watcher."""
        self.must_read = False
        """Whether something may have been missed, so the store is to be read."""
        self.ticked = False
        """Whether the hub has ticked; the watcher resets it."""
        self._hub = hub
        self._topic = topic
        self._waiting: deque[Notice] = deque()
        self._size = 0
        self._latest = 0
        self._loop = asyncio.get_running_loop()
        self._waiter: asyncio.Future[None] | None = None

    @property
    def topic(self) -> str:
        """What is watched."""
        return self._topic.name

    @property
    def waiting_bytes(self) -> int:
        """How many bytes wait."""
        return self._size

    def push(self, notice: Notice, size: int) -> None:
        """Let a notice wait, or have the watcher read the store if too much waits."""
        total = self._size + size
        if total <= BUFFER_BYTES and not self.must_read:
            self._waiting.append(notice)
            self._size = total
            self._latest = max(self._latest, notice.last)
        else:
            self._forget()
        self._wake()

    def read_again(self) -> None:
        """Have the watcher look at the store again."""
        self.must_read = True
        self._wake()

    def tick(self) -> None:
        """Wake the watcher, with or without news."""
        self.ticked = True
        self._wake()

    def find(self, head: int) -> None:
        """Have the watcher read the store if that is ahead and nothing else waits."""
        if self.position < head and not self._waiting:
            self.read_again()

    def news(self) -> "asyncio.Future[None]":
        """Return what is done when there is news or a tick.

        To be called right after nothing was found to do, and by one task only.
        """
        self._waiter = self._loop.create_future()
        return self._waiter

    def next_piece(self) -> Piece | None:
        """Take what waits after the position, as one piece; at a hole ask for the store."""
        waiting, topic = self._waiting, self._topic
        if not waiting:
            return None
        if topic.joined_after == self.position and self._latest == topic.joined.position:
            waiting.clear()
            self._size = 0
        elif not self._join():
            return None
        self.position = topic.joined.position
        return topic.joined

    def close(self) -> None:
        """Leave the hub."""
        self._hub.leave(self)

    def _join(self) -> bool:
        """Join the notices that follow each other, for this watcher and those as far as it."""
        waiting, position = self._waiting, self.position
        parts: list[bytes] = []
        size: int = 0
        while waiting and size < JOIN_BYTES:
            notice = waiting[0]
            if notice.last > position:
                if notice.previous != position:
                    break
                parts.append(notice.payload or b"")
                size += len(parts[-1])
                position = notice.last
            waiting.popleft()
            self._size -= waiting_size(notice)
        if parts:
            self._topic.joined_after = self.position
            self._topic.joined = Piece(b"".join(parts), position)
        elif waiting:
            self._forget()
        return bool(parts)

    def _forget(self) -> None:
        self._waiting.clear()
        self._size = 0
        self.must_read = True

    def _wake(self) -> None:
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)


def waiting_size(notice: Notice) -> int:
    """Return how many bytes a notice takes while it waits; too many if it has no payload."""
    return BUFFER_BYTES + 1 if notice.payload is None else len(notice.payload) + NOTICE_BYTES


class Hub:
    """Hands notices to the watchers of their topic. Used in the event loop only."""

    def __init__(self) -> None:
        self._topics: dict[str, _Topic] = {}
        self._listeners: list[Callable[[str, bool], None]] = []
        self._tasks: list[asyncio.Task[None]] = []

    def start(self, read_heads: ReadHeads | None = None) -> None:
        """Begin to tick.

        Args:
            read_heads: Reads the present positions of topics from the store; given when the
                bus may lose, so that what it lost is found within a second.
        """
        self._tasks.append(asyncio.create_task(self._tick(), name="hub-ticker"))
        if read_heads is not None:
            self._tasks.append(asyncio.create_task(self._search(read_heads), name="hub-searcher"))

    def on_topic(self, listener: Callable[[str, bool], None]) -> None:
        """Call `listener(topic, wanted)` when a topic gets its first watcher or loses its last."""
        self._listeners.append(listener)

    def subscribe(self, topic: str) -> Subscription:
        """Return a new watcher's place."""
        place = self._topics.get(topic)
        if place is None:
            place = self._topics[topic] = _Topic(topic)
            for listener in self._listeners:
                listener(topic, True)  # noqa: FBT003 - the listener's only flag
        subscription = Subscription(self, place)
        place.watchers.add(subscription)
        return subscription

    def leave(self, subscription: Subscription) -> None:
        """Forget a watcher."""
        place = self._topics.get(subscription.topic)
        if place is None or subscription not in place.watchers:
            return
        place.watchers.remove(subscription)
        if not place.watchers:
            del self._topics[place.name]
            for listener in self._listeners:
                listener(place.name, False)  # noqa: FBT003 - the listener's only flag

    def deliver(self, notice: Notice) -> None:
        """Hand a notice to the watchers of its topic."""
        place = self._topics.get(notice.topic)
        if place is not None:
            size = waiting_size(notice)
            for subscription in place.watchers:
                subscription.push(notice, size)

    def topics(self) -> list[str]:
        """Return the topics that are watched here."""
        return list(self._topics)

    def is_watched(self, topic: str) -> bool:
        """Whether anybody here watches a topic: what nobody watches need not be encoded."""
        return topic in self._topics

    def read_again(self, topic: str) -> None:
        """Have the watchers of a topic look at the store again."""
        place = self._topics.get(topic)
        if place is not None:
            for subscription in place.watchers:
                subscription.read_again()

    def tick(self) -> None:
        """Wake every watcher."""
        for place in self._topics.values():
            for subscription in place.watchers:
                subscription.tick()

    def compare(self, heads: Mapping[str, int]) -> None:
        """Send watchers to the store whose topics have gone on there unheard."""
        for topic, head in heads.items():
            place = self._topics.get(topic)
            if place is not None:
                for subscription in place.watchers:
                    subscription.find(head)

    async def close(self) -> None:
        """End ticking."""
        tasks, self._tasks = self._tasks, []
        await cancel(*tasks)

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_SECONDS)
            self.tick()

    async def _search(self, read_heads: ReadHeads) -> None:
        while True:
            await asyncio.sleep(TICK_SECONDS)
            if self._topics:
                try:
                    self.compare(await read_heads(self.topics()))
                except ServiceError as error:
                    _LOG.debug("The heads cannot be read now: %s", error.reason)
                except Exception:  # noqa: BLE001 - whatever comes, what is lost later must be found
                    _LOG.exception("The search for what the bus has lost failed.")
