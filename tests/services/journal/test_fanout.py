import asyncio
from collections.abc import Mapping, Sequence

import pytest

from support.conditions import until
from support.watches import TOPIC, entries, notice
from trackside_journal import fanout
from trackside_journal.errors import StoreUnavailableError
from trackside_journal.fanout import BUFFER_BYTES, JOIN_BYTES, NOTICE_BYTES, Hub
from trackside_journal.notices import Notice


@pytest.fixture
def hub() -> Hub:
    return Hub()


async def test_what_is_delivered_waits_for_every_watcher_of_the_topic(hub: Hub) -> None:
    first, second, other = hub.subscribe(TOPIC), hub.subscribe(TOPIC), hub.subscribe("other")

    hub.deliver(notice(0, 2))

    pieces = [subscription.next_piece() for subscription in (first, second, other)]
    assert [piece and piece.payload for piece in pieces] == [entries(1, 2)] * 2 + [None]
    assert first.position == 2


async def test_watchers_that_are_equally_far_share_one_piece(hub: Hub) -> None:
    first, second = hub.subscribe(TOPIC), hub.subscribe(TOPIC)
    for last in range(1, 4):
        hub.deliver(notice(last - 1, last))

    piece = first.next_piece()

    assert piece is not None
    assert piece.payload == entries(1, 3)
    assert second.next_piece() is piece
    assert second.waiting_bytes == 0


async def test_a_watcher_that_is_elsewhere_gets_a_piece_of_its_own(hub: Hub) -> None:
    first, second = hub.subscribe(TOPIC), hub.subscribe(TOPIC)
    second.position = 1
    for last in range(1, 4):
        hub.deliver(notice(last - 1, last))

    first.next_piece()
    piece = second.next_piece()

    assert piece is not None
    assert piece.payload == entries(2, 3)


async def test_what_waits_is_joined_up_to_64_kib(hub: Hub) -> None:
    subscription = hub.subscribe(TOPIC)
    for last in range(1, 11):
        hub.deliver(Notice(TOPIC, last - 1, last, bytes(20 << 10)))

    sizes: list[int] = []
    while (piece := subscription.next_piece()) is not None:
        sizes.append(len(piece.payload))

    assert sum(sizes) == 200 << 10
    assert max(sizes) <= JOIN_BYTES + (20 << 10)
    assert len(sizes) == 3


async def test_repeated_and_old_notices_are_dropped(hub: Hub) -> None:
    subscription = hub.subscribe(TOPIC)
    for previous, last in [(0, 1), (0, 1), (1, 2), (0, 1), (2, 3)]:
        hub.deliver(notice(previous, last))

    piece = subscription.next_piece()

    assert piece is not None
    assert (piece.payload, piece.position) == (entries(1, 3), 3)
    assert subscription.next_piece() is None
    assert not subscription.must_read
    assert subscription.waiting_bytes == 0


@pytest.mark.parametrize("hole", [(1, 2), (2, 5)])
async def test_a_hole_sends_the_watcher_to_the_store(hub: Hub, hole: tuple[int, int]) -> None:
    subscription = hub.subscribe(TOPIC)
    hub.deliver(notice(*hole))

    piece = subscription.next_piece()

    assert piece is None
    assert subscription.must_read
    assert subscription.waiting_bytes == 0


async def test_what_comes_before_a_hole_is_given(hub: Hub) -> None:
    subscription = hub.subscribe(TOPIC)
    for previous, last in [(0, 1), (3, 4)]:
        hub.deliver(notice(previous, last))

    piece = subscription.next_piece()

    assert piece is not None
    assert piece.position == 1
    assert subscription.next_piece() is None
    assert subscription.must_read


async def test_a_notice_that_overlaps_what_one_has_sends_to_the_store(hub: Hub) -> None:
    subscription = hub.subscribe(TOPIC)
    subscription.position = 2

    hub.deliver(notice(1, 4))

    assert subscription.next_piece() is None
    assert subscription.must_read


async def test_a_notice_without_payload_sends_to_the_store(hub: Hub) -> None:
    subscription = hub.subscribe(TOPIC)

    hub.deliver(notice(0, 1, with_payload=False))

    assert subscription.must_read
    assert subscription.waiting_bytes == 0


async def test_at_most_1_mib_waits_for_a_watcher(hub: Hub) -> None:
    subscription = hub.subscribe(TOPIC)
    most = 0
    for last in range(1, 200):
        hub.deliver(Notice(TOPIC, last - 1, last, bytes(10_000)))
        most = max(most, subscription.waiting_bytes)

    assert BUFFER_BYTES - 10_000 - NOTICE_BYTES < most <= BUFFER_BYTES
    assert subscription.must_read
    assert subscription.waiting_bytes == 0
    assert subscription.next_piece() is None


async def test_notices_count_even_when_their_payload_is_empty(hub: Hub) -> None:
    subscription = hub.subscribe(TOPIC)

    for last in range(1, BUFFER_BYTES // NOTICE_BYTES + 2):
        hub.deliver(Notice(TOPIC, last - 1, last, b""))

    assert subscription.must_read
    assert subscription.waiting_bytes == 0


async def test_nothing_waits_for_who_reads_the_store_anyway(hub: Hub) -> None:
    subscription = hub.subscribe(TOPIC)
    subscription.read_again()

    hub.deliver(notice(0, 1))

    assert subscription.waiting_bytes == 0


async def test_a_watcher_is_woken_by_news_a_tick_and_a_call_to_read(hub: Hub) -> None:
    subscription = hub.subscribe(TOPIC)

    for wake in (lambda: hub.deliver(notice(0, 1)), hub.tick, lambda: hub.read_again(TOPIC)):
        news = subscription.news()
        assert not news.done()
        wake()
        wake()
        assert news.done()


async def test_a_watcher_that_was_cancelled_while_it_waited_can_be_woken(hub: Hub) -> None:
    subscription = hub.subscribe(TOPIC)
    subscription.news().cancel()

    hub.deliver(notice(0, 1))

    assert subscription.next_piece() is not None


async def test_listeners_hear_of_a_topics_first_watcher_and_its_last(hub: Hub) -> None:
    heard: list[tuple[str, bool]] = []
    hub.on_topic(lambda topic, wanted: heard.append((topic, wanted)))

    first, second = hub.subscribe(TOPIC), hub.subscribe(TOPIC)
    first.close()
    first.close()
    assert hub.is_watched(TOPIC)
    second.close()

    assert heard == [(TOPIC, True), (TOPIC, False)]
    assert not hub.is_watched(TOPIC)
    assert hub.topics() == []


async def test_one_who_left_does_not_take_a_new_one_along(hub: Hub) -> None:
    first = hub.subscribe(TOPIC)
    first.close()
    hub.subscribe(TOPIC)

    first.close()

    assert hub.is_watched(TOPIC)


async def test_the_watchers_of_a_topic_can_be_sent_to_the_store(hub: Hub) -> None:
    subscriptions = [hub.subscribe(TOPIC), hub.subscribe(TOPIC)]

    hub.read_again(TOPIC)
    hub.read_again("nobody's")

    assert [subscription.must_read for subscription in subscriptions] == [True, True]


async def test_only_who_is_behind_the_store_and_waits_for_nothing_is_sent_there(
    hub: Hub,
) -> None:
    level, behind, busy = (hub.subscribe(TOPIC) for _ in range(3))
    level.position = 5
    busy.push(notice(0, 5), 10)

    hub.compare({TOPIC: 5, "nobody's": 9})

    assert [s.must_read for s in (level, behind, busy)] == [False, True, False]


@pytest.mark.parametrize("failure", [StoreUnavailableError(), RuntimeError("of the driver")])
async def test_what_the_bus_lost_is_found_by_asking_the_store(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, failure: Exception
) -> None:
    monkeypatch.setattr(fanout, "TICK_SECONDS", 0.001)
    asked: list[Sequence[str]] = []

    async def read_heads(topics: Sequence[str]) -> Mapping[str, int]:
        asked.append(topics)
        if len(asked) == 1:
            raise failure
        return {TOPIC: 3}

    subscription = hub.subscribe(TOPIC)
    hub.start(read_heads)

    await until(lambda: subscription.must_read)

    assert asked[:2] == [[TOPIC], [TOPIC]]
    await hub.close()


async def test_a_slow_store_does_not_hold_up_the_ticks(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fanout, "TICK_SECONDS", 0.001)

    async def read_heads(_: Sequence[str]) -> Mapping[str, int]:
        await asyncio.Event().wait()
        return {}

    subscription = hub.subscribe(TOPIC)
    hub.start(read_heads)

    for _ in range(3):
        await subscription.news()

    await hub.close()
