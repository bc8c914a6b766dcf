import asyncio
import random
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

import pytest
from typing_extensions import override

from support.chance import seeded
from support.conditions import until
from support.watches import TOPIC, Record, Watcher, entries, notice, settle, watcher
from trackside_journal.errors import StoreUnavailableError
from trackside_journal.fanout import Hub
from trackside_journal.notices import Notice
from trackside_journal.pieces import Piece
from trackside_journal.splice import Page, splice
from trackside_journal.tasks import cancel


@asynccontextmanager
async def watching(
    record: Record, hub: Hub, position: int = 0, *, announce: bool = True
) -> AsyncGenerator[Watcher]:
    one = watcher(record, hub, position, announce=announce)
    await settle()
    try:
        yield one
    finally:
        await one.stop()


@pytest.fixture
def hub() -> Hub:
    return Hub()


async def test_history_comes_before_news(hub: Hub) -> None:
    record = Record(head=12)

    async with watching(record, hub) as one:
        record.head = 14
        hub.deliver(notice(12, 14))
        await one.until(14)

    assert one.text == entries(1, 14)


async def test_a_watch_begins_after_its_position(hub: Hub) -> None:
    async with watching(Record(head=12), hub, 9) as one:
        await one.until(12)

    assert one.text == entries(10, 12)


async def test_it_says_once_when_what_was_stored_at_the_beginning_was_given(hub: Hub) -> None:
    record = Record(head=12)

    async with watching(record, hub) as one:
        hub.deliver(notice(12, 13))
        await one.until(13)

    assert [piece.position for piece in one.given if piece.caught_up] == [12]


async def test_what_comes_while_it_catches_up_does_not_delay_the_mark(hub: Hub) -> None:
    class Growing(Record):
        async def read(self, after: int) -> Page:
            page = await Record.read(self, after)
            self.head += 4
            return page

    record = Growing(head=12)

    async with watching(record, hub) as one:
        await one.until(20)

    marks = [piece.position for piece in one.given if piece.caught_up]
    assert marks == [15]


async def test_an_empty_record_is_caught_up_at_once(hub: Hub) -> None:
    async with watching(Record(), hub) as one:
        assert one.given == [Piece(b"", 0, caught_up=True)]


async def test_the_mark_may_be_left_out(hub: Hub) -> None:
    async with watching(Record(head=3), hub, announce=False) as one:
        assert one.given == [Piece(entries(1, 3), 3)]


async def test_news_need_no_store(hub: Hub) -> None:
    record = Record(head=3)

    async with watching(record, hub) as one:
        for last in range(4, 50):
            record.head = last
            hub.deliver(notice(last - 1, last))
            await one.until(last)

    assert record.reads == [0]


async def test_news_while_the_store_is_read_are_given_once(hub: Hub) -> None:
    record = Record(head=3)
    one = watcher(record, hub)
    await asyncio.sleep(0)

    record.head = 5
    for last in (4, 5):
        hub.deliver(notice(last - 1, last))
    await one.until(5)
    await one.stop()

    assert one.text == entries(1, 5)


@pytest.mark.parametrize("with_payload", [True, False])
async def test_a_hole_is_filled_from_the_store(hub: Hub, *, with_payload: bool) -> None:
    record = Record(head=3)

    async with watching(record, hub) as one:
        record.head = 6
        hub.deliver(notice(4 if with_payload else 3, 6, with_payload=with_payload))
        await one.until(6)

    assert one.text == entries(1, 6)
    assert record.reads == [0, 3]


async def test_a_watcher_that_overflowed_reads_the_store_at_its_own_pace(hub: Hub) -> None:
    record = Record(head=1, page_entries=1000)
    pieces = splice(record, hub, TOPIC, 0)
    first = await anext(pieces)
    for last in range(2, 20_000):
        hub.deliver(notice(last - 1, last))
    record.head = 19_999

    text = first.payload
    while len(text) < len(entries(1, 19_999)):
        text += (await anext(pieces)).payload
    await pieces.aclose()

    assert text == entries(1, 19_999)
    assert len(record.reads) > 1


async def test_it_ends_when_the_record_has_ended(hub: Hub) -> None:
    record = Record(head=12, ended=True)

    given = [piece async for piece in splice(record, hub, TOPIC, 0)]

    assert b"".join(piece.payload for piece in given) == entries(1, 12)
    assert given[-1].caught_up
    assert not hub.is_watched(TOPIC)


async def test_a_record_that_ends_later_ends_the_watch(hub: Hub) -> None:
    record = Record(head=2)

    async with watching(record, hub) as one:
        record.head, record.ended = 4, True
        hub.deliver(notice(2, 4))
        hub.read_again(TOPIC)
        assert one.task is not None
        await one.task

    assert one.text == entries(1, 4)


async def test_a_tick_without_news_gives_an_empty_piece(hub: Hub) -> None:
    async with watching(Record(head=3), hub) as one:
        hub.tick()
        await settle()

    assert one.given[1:] == [Piece(b"", 3)]


async def test_a_tick_with_news_gives_the_news(hub: Hub) -> None:
    async with watching(Record(head=3), hub) as one:
        hub.deliver(notice(3, 4))
        hub.tick()
        await one.until(4)

    assert one.given[1] == Piece(entries(4, 4), 4)


async def test_a_record_whose_head_is_ahead_of_it_is_asked_again_only_at_a_tick(
    hub: Hub,
) -> None:
    class Late(Record):
        async def read(self, after: int) -> Page:
            page = await Record.read(self, after)
            return Page(page.payload, page.last, 5)

    record = Late(head=3)

    async with watching(record, hub) as one:
        assert record.reads == [0, 3]
        record.head = 5
        hub.tick()
        await one.until(5)

    assert one.text == entries(1, 5)


async def test_a_watcher_that_is_cancelled_leaves_the_hub(hub: Hub) -> None:
    async with watching(Record(head=3), hub):
        assert hub.is_watched(TOPIC)

    assert not hub.is_watched(TOPIC)


async def test_a_watcher_that_is_closed_half_way_leaves_the_hub(hub: Hub) -> None:
    pieces = splice(Record(head=20), hub, TOPIC, 0)
    await anext(pieces)

    await pieces.aclose()

    assert not hub.is_watched(TOPIC)


async def test_an_error_of_the_store_ends_the_watch_and_leaves_the_hub(hub: Hub) -> None:
    class Away(Record):
        @override
        async def read(self, after: int) -> Page:
            raise StoreUnavailableError

    with pytest.raises(StoreUnavailableError):
        await anext(splice(Away(), hub, TOPIC, 0))

    assert not hub.is_watched(TOPIC)


@pytest.mark.parametrize("seed", range(40))
async def test_no_bus_however_hostile_makes_a_gap_or_a_repeat(hub: Hub, seed: int) -> None:
    chance = seeded(seed)
    record = Record(head=chance.randrange(20), page_entries=chance.choice([1, 3, 50]))
    begin = chance.randrange(record.head + 1)
    news = [
        notice(*jump, with_payload=chance.random() > 0.1)
        for jump in jumps(chance, record.head, count=chance.choice([20, 200]))
    ]
    sending = asyncio.create_task(send(chance, record, hub, news))
    text, position = b"", begin
    pieces = splice(record, hub, TOPIC, begin)

    while position < news[-1].last:
        piece = await anext(pieces)
        text, position = text + piece.payload, piece.position
        assert text == entries(begin + 1, position)
        for _ in range(chance.choice([0, 0, 1, 20])):
            await asyncio.sleep(0)

    await pieces.aclose()
    await cancel(sending)


async def send(chance: random.Random, record: Record, hub: Hub, news: list[Notice]) -> None:
    """Commit news one by one; deliver them not at all, once, or twice, between older ones."""
    for one in news:
        record.head = one.last
        for sent in chance.choice([[], [one], [one], [one, one]]):
            hub.deliver(sent)
        for _ in range(chance.choice([0, 0, 0, 2])):
            hub.deliver(late(chance, record))
        for _ in range(chance.choice([0, 0, 1, 5])):
            await asyncio.sleep(0)
    while True:  # what the hub does every second
        hub.compare({TOPIC: record.head})
        hub.tick()
        await asyncio.sleep(0)


def jumps(chance: random.Random, head: int, count: int) -> list[tuple[int, int]]:
    jumps: list[tuple[int, int]] = []
    for _ in range(count):
        jumps.append((head, head + chance.randint(1, 4)))
        head = jumps[-1][1]
    return jumps


def late(chance: random.Random, record: Record) -> Notice:
    previous = chance.randrange(max(1, record.head))
    return notice(previous, min(record.head, previous + chance.randint(1, 6)))


async def test_a_hostile_bus_and_paces_of_all_kinds_with_many_watchers(hub: Hub) -> None:
    chance = seeded(0)
    record = Record(head=10, page_entries=20)
    begins = [chance.randrange(10) for _ in range(30)]
    tasks = [
        asyncio.create_task(follow(splice(record, hub, TOPIC, begin), seeded(n)))
        for n, begin in enumerate(begins)
    ]
    news = [notice(*jump) for jump in jumps(chance, 10, 400)]
    sending = asyncio.create_task(send(chance, record, hub, news))

    await until(lambda: record.head == news[-1].last)
    record.ended = True
    hub.read_again(TOPIC)
    texts = await asyncio.gather(*tasks)

    assert texts == [entries(begin + 1, record.head) for begin in begins]
    await cancel(sending)


async def follow(pieces: AsyncIterator[Piece], pace: random.Random) -> bytes:
    text = b""
    async for piece in pieces:
        text += piece.payload
        for _ in range(pace.choice([0, 0, 1, 30])):
            await asyncio.sleep(0)
    return text
