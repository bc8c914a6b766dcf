"""What all watches have in common: where they start, and the tail that makes them resumable."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Protocol

from trackside_journal import wire
from trackside_journal.cursor import CursorMint
from trackside_journal.errors import CursorAheadError, CursorExpiredError
from trackside_journal.pieces import Ending, Piece
from trackside_journal.tasks import closing
from trackside_protos.watches.v1 import watch_start_pb2
from trackside_serving.errors import InvalidFieldError, Violation

BOOKMARK_SECONDS: Final = 3.5
"""After this long without news a bookmark is due; the hub's ticks of a second keep it below
five."""

LAST_LIMIT: Final = 100_000
"""How many of the latest items a watch may ask for."""


@dataclass(frozen=True, slots=True)
class Range:
    """What a topic has: the changes after `earliest`, up to `head`."""

    head: int
    earliest: int = 0


@dataclass(frozen=True, slots=True)
class Tail:
    """The numbers of the two fields that every watch response has besides its contents."""

    cursor_field: int
    caught_up_field: int


class Draining(Protocol):
    """What is set when the server goes down."""

    draining: asyncio.Event


class Resumable(Protocol):
    """Where the cursor of the latest response is kept, for whoever ends the stream."""

    resume_cursor: str


def wants_present(start: watch_start_pb2.WatchStart) -> bool:
    """Whether a watch begins with the present state: it starts NOW or with the LAST items."""
    return start.WhichOneof("start") in {None, "last"} or (
        start.WhichOneof("start") == "position"
        and start.position != watch_start_pb2.WATCH_POSITION_BEGINNING
    )


def starting_position(
    start: watch_start_pb2.WatchStart, available: Range, mint: CursorMint, topic: str
) -> int:
    """Return the position after which a watch begins.

    Raises:
        CursorForeignError: The cursor is not one for this topic.
        CursorAheadError: The cursor is ahead of the store.
        CursorExpiredError: The changes after the cursor, or from the beginning, are gone.
        InvalidFieldError: The start is none that exists.
    """
    match start.WhichOneof("start"):
        case "cursor":
            position = mint.decode(topic, start.cursor)
            if position > available.head:
                raise CursorAheadError(latest=mint.encode(topic, available.head))
        case "last":
            if not 0 <= start.last <= LAST_LIMIT:
                description = f"not 0 to {LAST_LIMIT}"
                raise _wrong("start.last", description)
            return max(available.head - start.last, available.earliest)
        case "position" if start.position == watch_start_pb2.WATCH_POSITION_BEGINNING:
            position = 0
        case "position" if start.position not in watch_start_pb2.WatchPosition.values():
            description = "no such position"
            raise _wrong("start.position", description)
        case _:
            position = available.head
    if position < available.earliest:
        raise CursorExpiredError(
            earliest=mint.encode(topic, available.earliest),
            latest=mint.encode(topic, available.head),
        )
    return position


async def until_draining(pieces: AsyncGenerator[Piece], call: Draining) -> AsyncGenerator[Piece]:
    """Yield pieces until the server goes down; the hub's ticks make it look each second."""
    async with closing(pieces):
        async for piece in pieces:
            yield piece
            if call.draining.is_set():
                return


async def with_tails(  # noqa: PLR0913 - all but the first say what kind of watch it is
    pieces: AsyncIterator[Piece],
    *,
    mint: CursorMint,
    topic: str,
    tail: Tail,
    call: Resumable,
    transform: Callable[[bytes], bytes] | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> AsyncGenerator[bytes]:
    """Yield each piece as an encoded response: its contents, its cursor, the caught-up mark.

    A piece of which nothing is left is sent only when a bookmark is due. Ends the pieces when
    it is ended itself.

    Args:
        pieces: From a splice.
        mint: Makes the cursors.
        topic: What is watched.
        tail: The response's field numbers.
        call: Told the cursor of what was sent last.
        transform: Filters the contents.
        clock: Tells how long nothing was sent.
    """
    writer = _ending_writer(mint, tail)
    told = clock()
    async with closing(pieces):
        async for piece in pieces:
            payload = piece.payload
            if transform is not None and payload:
                payload = transform(payload)
            if not payload and not piece.caught_up and clock() - told < BOOKMARK_SECONDS:
                continue
            ending = piece.endings.get(writer) or writer.write(topic, piece)
            yield ending.response if payload is piece.payload else payload + ending.fields
            told = clock()
            call.resume_cursor = ending.cursor


@dataclass(frozen=True, slots=True, eq=False)
class _EndingWriter:
    """Writes the endings of one kind of watch, once for all its watchers."""

    mint: CursorMint
    tail: Tail

    def write(self, topic: str, piece: Piece) -> Ending:
        cursor = self.mint.encode(topic, piece.position)
        fields = wire.bytes_field(self.tail.cursor_field, cursor.encode())
        if piece.caught_up:
            fields += wire.varint_field(self.tail.caught_up_field, 1)
        ending = piece.endings[self] = Ending(cursor, fields, piece.payload + fields)
        return ending


_ending_writer = lru_cache(maxsize=64)(_EndingWriter)


def _wrong(field: str, description: str) -> InvalidFieldError:
    return InvalidFieldError(f"{field}: {description}", violations=[Violation(field, description)])
