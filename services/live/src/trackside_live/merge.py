"""Merging streams: whichever has something next is next, and none runs ahead.

Each stream is read one item ahead at most, so what a slow reader makes wait is one item of
each part; the rest stays with the services, whose memory for a watcher is bounded.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Mapping


async def merge(streams: Mapping[str, AsyncIterator[bytes]]) -> AsyncGenerator[tuple[str, bytes]]:
    """Yield each stream's items with its name, as they come, until all have ended.

    Raises:
        Exception: What the first stream that fails raises; the others are ended.
    """
    turns: dict[asyncio.Task[bytes | None], str] = {}

    def next_turn(name: str) -> None:
        turns[asyncio.create_task(_next(streams[name]))] = name

    for name in streams:
        next_turn(name)
    try:
        while turns:
            done, _ = await asyncio.wait(turns, return_when=asyncio.FIRST_COMPLETED)
            for turn in done:
                name = turns.pop(turn)
                item = turn.result()
                if item is not None:
                    yield name, item
                    next_turn(name)
    finally:
        await _abandon(turns, streams)


async def _next(stream: AsyncIterator[bytes]) -> bytes | None:
    return await anext(stream, None)


async def _abandon(
    turns: Mapping[asyncio.Task[bytes | None], str], streams: Mapping[str, AsyncIterator[bytes]]
) -> None:
    for turn in turns:
        turn.cancel()
    await asyncio.gather(*turns, return_exceptions=True)
    for stream in streams.values():
        if isinstance(stream, AsyncGenerator):
            with contextlib.suppress(Exception):  # it is being thrown away
                await stream.aclose()
