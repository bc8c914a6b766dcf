import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing

import pytest

from trackside_live.merge import merge


class Source:
    """A stream that a test feeds, and which knows how far it was read and whether it ended."""

    def __init__(self) -> None:
        self._items: asyncio.Queue[bytes | Exception | None] = asyncio.Queue()
        self.taken = 0
        self.has_ended = False

    def put(self, *items: bytes | Exception | None) -> None:
        for item in items:
            self._items.put_nowait(item)

    async def stream(self) -> AsyncGenerator[bytes]:
        try:
            while (item := await self._items.get()) is not None:
                if isinstance(item, Exception):
                    raise item
                self.taken += 1
                yield item
        finally:
            self.has_ended = True


async def several(stream: AsyncIterator[tuple[str, bytes]], count: int) -> list[tuple[str, bytes]]:
    return [await anext(stream) for _ in range(count)]


async def test_each_stream_keeps_its_order_and_the_merge_ends_with_the_last() -> None:
    left, right = Source(), Source()
    left.put(b"1", b"2", b"3", None)
    right.put(b"a", b"b", None)

    merged = [item async for item in merge({"left": left.stream(), "right": right.stream()})]

    assert [data for name, data in merged if name == "left"] == [b"1", b"2", b"3"]
    assert [data for name, data in merged if name == "right"] == [b"a", b"b"]


async def test_a_silent_stream_holds_up_no_other() -> None:
    loud, silent = Source(), Source()
    loud.put(b"1", b"2", b"3")

    async with aclosing(merge({"loud": loud.stream(), "silent": silent.stream()})) as merged:
        heard = await several(merged, 3)

    assert heard == [("loud", b"1"), ("loud", b"2"), ("loud", b"3")]


async def test_no_stream_is_read_ahead_by_more_than_an_item() -> None:
    source = Source()
    source.put(*(b"x" for _ in range(10)))

    async with aclosing(merge({"source": source.stream()})) as merged:
        await several(merged, 3)
        taken = source.taken

    assert taken <= 4


async def test_what_one_stream_raises_ends_the_others() -> None:
    broken, other = Source(), Source()
    broken.put(b"1", LookupError("gone"))
    merged = merge({"broken": broken.stream(), "other": other.stream()})

    first = await anext(merged)
    with pytest.raises(LookupError, match="gone"):
        await anext(merged)

    assert first == ("broken", b"1")
    assert other.has_ended


async def test_leaving_the_merge_ends_every_stream() -> None:
    left, right = Source(), Source()
    left.put(b"1")

    async with aclosing(merge({"left": left.stream(), "right": right.stream()})) as merged:
        await anext(merged)

    assert left.has_ended
    assert right.has_ended


async def test_cancelling_who_waits_ends_every_stream() -> None:
    left, right = Source(), Source()
    left.put(b"1")
    merged = merge({"left": left.stream(), "right": right.stream()})
    await anext(merged)
    waiting = asyncio.ensure_future(anext(merged))
    await asyncio.sleep(0)

    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting

    assert left.has_ended
    assert right.has_ended
