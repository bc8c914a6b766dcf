import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass

import pytest
import redis

from support.conditions import until
from support.private_server import free_port
from support.redis_server import RedisServer
from support.watches import TOPIC, Record, Watcher, entries, notice, watcher
from trackside_journal import fanout, redis_bus
from trackside_journal.fanout import Hub
from trackside_journal.notices import Notice
from trackside_journal.redis_bus import RedisBus
from trackside_journal.splice import splice

OTHER_TOPIC = "fedcba9876543210"


@dataclass(slots=True)
class Replica:
    hub: Hub
    bus: RedisBus


Start = Callable[[str], Awaitable[Replica]]


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    async with AsyncExitStack() as stack:

        async def start_one(url: str) -> Replica:
            hub = Hub()
            replica = Replica(hub, RedisBus(hub, url=url, server_id="server", service="test"))
            await replica.bus.start()
            stack.push_async_callback(replica.bus.close)
            return replica

        yield start_one


@pytest.fixture
async def replicas(start: Start, redis_url: str) -> tuple[Replica, Replica]:
    return await start(redis_url), await start(redis_url)


def subscribers(url: str, topic: str = TOPIC) -> int:
    """Return how many processes listen to a topic."""
    with redis.Redis.from_url(url) as client:
        channel = f"trackside:server:test:{topic}"
        return client.pubsub_numsub(channel)[0][1]


async def watched(replica: Replica, record: Record, url: str, listeners: int) -> Watcher:
    """Return a watcher whose subscription has taken hold, and been followed by a reading."""
    one = watcher(record, replica.hub)
    await until(lambda: subscribers(url) == listeners and len(record.reads) > 1)
    record.reads.clear()
    return one


async def test_a_watcher_hears_what_another_replica_publishes(
    replicas: tuple[Replica, Replica], redis_url: str
) -> None:
    here, there = replicas
    record = Record()
    one = await watched(here, record, redis_url, 1)

    for last in range(1, 101):
        there.bus.publish([notice(last - 1, last)])
    await one.until(100)

    assert one.text == entries(1, 100)
    assert record.reads == []
    await one.stop()


async def test_a_replica_hears_itself_at_once_and_only_once(
    replicas: tuple[Replica, Replica], redis_url: str
) -> None:
    here, there = replicas
    record = Record()
    one = await watched(here, record, redis_url, 1)
    marker = await watched(there, Record(), redis_url, 2)

    here.bus.publish([notice(0, 1)])
    await one.until(1)
    await marker.until(1)
    there.bus.publish([notice(1, 2)])
    await one.until(2)

    assert one.text == entries(1, 2)
    assert record.reads == []
    await one.stop()
    await marker.stop()


async def test_what_is_too_large_for_the_bus_is_read_from_the_store(
    replicas: tuple[Replica, Replica], redis_url: str
) -> None:
    here, there = replicas
    record = Record()
    one = await watched(here, record, redis_url, 1)

    record.head = 3
    there.bus.publish([Notice(TOPIC, 0, 3, bytes((64 << 10) + 1))])
    await one.until(3)

    assert one.text == entries(1, 3)
    assert record.reads == [0]
    await one.stop()


async def test_a_new_watchers_subscription_takes_hold_at_once(
    start: Start, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_bus, "_PING_SECONDS", 3600.0)  # it waits for no time-out
    here = await start(redis_url)
    await until(lambda: here.bus._is_reached)

    for number in range(20):
        record = Record()
        one = Watcher(splice(record, here.hub, f"{number:016d}", 0))
        one.start()
        # The second reading follows the confirmation of the subscription.
        await until(lambda record=record: len(record.reads) > 1)
        await one.stop()


async def test_what_was_published_before_the_subscription_took_hold_is_read(
    replicas: tuple[Replica, Replica],
) -> None:
    here, there = replicas
    record = Record()
    one = watcher(record, here.hub)
    await until(lambda: record.reads)

    record.head = 1
    there.bus.publish([notice(0, 1)])
    await one.until(1)

    assert one.text == entries(1, 1)
    await one.stop()


async def test_a_topic_that_nobody_watches_any_more_is_left(start: Start, redis_url: str) -> None:
    here = await start(redis_url)
    one = await watched(here, Record(), redis_url, 1)

    await one.stop()

    await until(lambda: subscribers(redis_url) == 0)


async def test_a_topic_that_is_left_and_wanted_again_is_heard(
    replicas: tuple[Replica, Replica], redis_url: str
) -> None:
    here, there = replicas
    for _ in range(10):
        here.hub.subscribe(OTHER_TOPIC).close()
        await asyncio.sleep(0)
    record = Record()
    one = await watched(here, record, redis_url, 1)

    there.bus.publish([notice(0, 1)])
    await one.until(1)

    assert record.reads == []
    await one.stop()


async def test_a_redis_that_is_killed_is_found_again(
    replicas: tuple[Replica, Replica],
    redis_url: str,
    redis_server: RedisServer,
    caplog: pytest.LogCaptureFixture,
) -> None:
    here, there = replicas
    record = Record()
    one = await watched(here, record, redis_url, 1)
    redis_server.kill()
    try:
        await until(lambda: here.bus._is_reached is False)
        record.head = 1
        there.bus.publish([notice(0, 1)])
    finally:
        redis_server.start()

    await one.until(1)
    await until(lambda: subscribers(redis_url) == 1)
    await until(lambda: here.bus._is_reached and there.bus._is_reached)
    record.head = 2
    while one.position < 2:  # the sender may still be waiting to try again
        there.bus.publish([notice(1, 2)])
        await asyncio.sleep(0.01)

    assert one.text == entries(1, 2)
    away = [text for text in caplog.messages if text.startswith("Redis cannot be reached")]
    assert 1 <= len(away) <= 2  # once for each replica
    await one.stop()


async def test_while_redis_is_away_the_store_is_searched(
    replicas: tuple[Replica, Replica],
    redis_url: str,
    redis_server: RedisServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fanout, "TICK_SECONDS", 0.01)
    here, there = replicas
    record = Record()
    one = await watched(here, record, redis_url, 1)

    async def read_heads(_: object) -> dict[str, int]:
        return {TOPIC: record.head}

    here.hub.start(read_heads)
    redis_server.kill()
    try:
        for last in (1, 2, 3):
            record.head = last
            there.bus.publish([notice(last - 1, last)])
            await one.until(last)
    finally:
        redis_server.start()

    assert one.text == entries(1, 3)
    await here.hub.close()
    await one.stop()


async def test_a_redis_that_is_emptied_makes_no_difference(
    replicas: tuple[Replica, Replica], redis_url: str, redis_server: RedisServer
) -> None:
    here, there = replicas
    record = Record()
    one = await watched(here, record, redis_url, 1)

    redis_server.empty()
    there.bus.publish([notice(0, 1)])
    await one.until(1)

    assert record.reads == []
    await one.stop()


async def test_a_redis_that_is_down_at_the_start_is_joined_when_it_comes(
    start: Start, redis_url: str, redis_server: RedisServer
) -> None:
    redis_server.kill()
    try:
        here, there = await start(redis_url), await start(redis_url)
        record = Record()
        one = watcher(record, here.hub)
        there.bus.publish([notice(0, 1)])
        await until(lambda: here.bus._is_reached is False)
    finally:
        redis_server.start()
    await until(lambda: subscribers(redis_url) == 1 and len(record.reads) > 1)

    while one.position < 1:  # the sender may still be waiting to try again
        there.bus.publish([notice(0, 1)])
        await asyncio.sleep(0.01)

    assert one.text == entries(1, 1)
    await one.stop()


async def test_garbage_on_a_channel_is_passed_over(
    replicas: tuple[Replica, Replica], redis_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    here, there = replicas
    one = await watched(here, Record(), redis_url, 1)

    with redis.Redis.from_url(redis_url) as client:
        client.publish(f"trackside:server:test:{TOPIC}", b"\xff\xff")
    there.bus.publish([notice(0, 1)])
    await one.until(1)

    assert "no notice" in caplog.text
    await one.stop()


async def test_a_stalled_redis_delays_nobody_and_memory_is_bounded(
    replicas: tuple[Replica, Replica], redis_server: RedisServer
) -> None:
    here, _ = replicas
    await until(lambda: here.bus._is_reached)
    assert redis_server._process is not None
    redis_server._process.send_signal(signal.SIGSTOP)
    try:
        subscription = here.hub.subscribe(TOPIC)
        for last in range(1, 301):
            here.bus.publish([Notice(TOPIC, last - 1, last, bytes(60_000))])
            subscription.next_piece()
            if last % 50 == 0:
                await asyncio.sleep(0)

        assert subscription.position == 300
        assert here.bus._outgoing._size <= 8 << 20
    finally:
        redis_server._process.send_signal(signal.SIGCONT)


async def test_a_bus_whose_redis_is_nowhere_closes(start: Start) -> None:
    here = await start(f"redis://127.0.0.1:{free_port()}/0")
    await until(lambda: here.bus._is_reached is False)

    await here.bus.close()

    assert all(task.done() for task in here.bus._tasks)
