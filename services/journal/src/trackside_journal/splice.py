"""The splice: history from the store and news from the bus, as one sequence without gap or repeat.

Subscribe, read the store from the position, then follow the bus, dropping what one has and
going back to the store at any hole.
"""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Protocol

from trackside_journal.fanout import Hub, Subscription
from trackside_journal.pieces import Piece

__all__ = ["Page", "Piece", "Source", "splice"]


@dataclass(frozen=True, slots=True)
class Page:
    """What a store has after a position."""

    payload: bytes
    """The encoded responses of the entries, to be concatenated; may be empty."""
    last: int
    """The position of the last entry in it; the position asked for when there is none."""
    head: int
    """The position of the latest entry that there is."""
    ended: bool = False
    """Whether nothing more is expected after the head."""


class Source(Protocol):
    """The ordered record of one topic in one store."""

    async def read(self, after: int) -> Page:
        """Return the entries after a position, at most about 256 KiB of them."""
        ...


async def splice(
    source: Source, hub: Hub, topic: str, position: int, *, announce: bool = True
) -> AsyncGenerator[Piece]:
    """Yield everything after a position, once and in order, until the source has ended.

    Yields an empty piece at each of the hub's ticks that finds no news. On cancellation it
    leaves the hub.

    Args:
        source: The store's side.
        hub: The bus's side.
        topic: What to follow.
        position: Where to begin: after this.
        announce: Whether to say when what was stored at the beginning has been given.
    """
    subscription = hub.subscribe(topic)
    subscription.position = position
    subscription.must_read = True
    history = _History(source, subscription, announce=announce)
    try:
        while not history.ended:
            if subscription.must_read:
                piece = await history.read()
            else:
                piece = subscription.next_piece()
                if piece is None and not subscription.must_read:
                    await subscription.news()
                    if subscription.ticked:
                        piece = history.tick()
            if piece is not None:
                yield piece
    finally:
        subscription.close()


class _History:
    """The store's side of one watch."""

    def __init__(self, source: Source, subscription: Subscription, *, announce: bool) -> None:
        self.ended = False
        """Whether everything was given and nothing more is expected."""
        self._is_stuck = False  # its head was ahead though it gave no more entries
        self._source = source
        self._subscription = subscription
        self._announce = announce
        self._target: int | None = None

    async def read(self) -> Piece | None:
        """Read the next page, and have the one after it read too if there is more."""
        subscription = self._subscription
        subscription.must_read = False
        page = await self._source.read(subscription.position)
        has_moved = page.last > subscription.position
        is_behind = page.last < page.head
        subscription.position = page.last
        subscription.must_read |= is_behind and has_moved
        self._is_stuck = is_behind and not has_moved
        self.ended = page.ended and not is_behind
        caught_up = self._is_caught_up(page)
        return Piece(page.payload, page.last, caught_up) if has_moved or caught_up else None

    def _is_caught_up(self, page: Page) -> bool:
        if self._target is None:
            self._target = page.head
        is_caught_up = self._announce and page.last >= self._target
        self._announce &= not is_caught_up
        return is_caught_up

    def tick(self) -> Piece | None:
        """Return an empty piece unless there is news."""
        subscription = self._subscription
        subscription.ticked = False
        # Only at a tick: a store whose head stays ahead must not be asked in a busy loop.
        subscription.must_read |= self._is_stuck
        return None if subscription.waiting_bytes else Piece(b"", subscription.position)
