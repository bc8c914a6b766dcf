import asyncio
import random
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass

import pytest

from support.chance import seeded
from support.journal import HEADS, RUN, EntryApplier, EntryBatch, EntrySource, batch, stored
from support.redis_server import RedisServer
from trackside_journal import fanout
from trackside_journal.bus import Bus, InProcessBus
from trackside_journal.committer import Committer
from trackside_journal.database import Database
from trackside_journal.fanout import Hub
from trackside_journal.heads import read_heads
from trackside_journal.producers import Stored
from trackside_journal.redis_bus import RedisBus
from trackside_journal.splice import splice
from trackside_serving.errors import ServiceError

BATCHES = 150


@dataclass(slots=True)
class Replica:
    """A committer, a bus and a hub: all that a service has of the journal."""

    database: Database
    hub: Hub
    bus: Bus
    committer: Committer[EntryBatch]

    async def start(self) -> None:
        await self.bus.start()
        self.hub.start(None if isinstance(self.bus, InProcessBus) else self._read_heads)
        self.committer.start()

    async def close(self) -> None:
        await self.committer.close()
        await self.bus.close()
        await self.hub.close()

    async def watch(self, target: int, pace: random.Random) -> list[bytes]:
        """Return what a watcher is given that is cut at random and resumes."""
        given, position = b"", 0
        while position < target:
            pieces = splice(EntrySource(self.database), self.hub, RUN, position)
            for _ in range(pace.randrange(1, 12)):
                piece = await anext(pieces)
                given, position = given + piece.payload, piece.position
                if position >= target:
                    break
                await asyncio.sleep(pace.choice([0, 0, 0.001]))
            await pieces.aclose()
        return [entry + b";" for entry in given.split(b";")[:-1]]

    async def _read_heads(self, run_ids: Sequence[str]) -> dict[str, int]:
        return await self.database.read(lambda connection: read_heads(connection, HEADS, run_ids))


@pytest.fixture
async def replicas(
    request: pytest.FixtureRequest,
    open_database: Callable[[str], Database],
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[list[Replica]]:
    monkeypatch.setattr(fanout, "TICK_SECONDS", 0.02)
    replicas: list[Replica] = []
    is_alone = request.param == "sqlite, in process"
    for _ in range(1 if is_alone else 2):
        hub = Hub()
        if is_alone:
            database: Database = request.getfixturevalue("sqlite_database")
            bus: Bus = InProcessBus(hub)
        else:
            database = open_database(request.getfixturevalue("postgresql_url"))
            url: str = request.getfixturevalue("redis_url")
            bus = RedisBus(hub, url=url, server_id="server", service="test")
        committer = Committer(database, EntryApplier(bus=bus), name="test")
        replicas.append(Replica(database, hub, bus, committer))
    async with AsyncExitStack() as stack:
        for replica in replicas:
            await replica.start()
            stack.push_async_callback(replica.close)
        yield replicas


IN_PROCESS = "sqlite, in process"
REPLICATED = pytest.param(
    "postgresql, redis, two replicas", marks=[pytest.mark.postgresql, pytest.mark.redis]
)


async def produce(replicas: Sequence[Replica], producer_id: str, seed: int) -> int:
    """Send every batch three times, shuffled, over all replicas, until all are stored."""
    chance = seeded(seed)
    works = [batch(n, producer_id=producer_id) for n in range(1, BATCHES + 1)]
    order = sorted(works * 3, key=lambda work: work.key.sequence + chance.uniform(0, 12))
    window = asyncio.Semaphore(24)
    new = 0

    async def send(work: EntryBatch) -> None:
        nonlocal new
        async with window:
            result = await chance.choice(replicas).committer.commit(work)
            assert isinstance(result, Stored)
            new += not result.duplicate

    async with asyncio.TaskGroup() as group:
        for work in order:
            group.create_task(send(work))
            if chance.random() < 0.3:
                await asyncio.sleep(0.001)
    return new


@pytest.mark.parametrize("replicas", [IN_PROCESS, REPLICATED], indirect=True)
async def test_every_batch_three_times_shuffled_is_stored_once_and_seen_once(
    replicas: list[Replica],
) -> None:
    target = 2 * BATCHES
    watches = [
        asyncio.create_task(replica.watch(target, seeded(n)))
        for n, replica in enumerate(replicas * 5)
    ]

    counts = await asyncio.gather(produce(replicas, "a", 1), produce(replicas, "b", 2))
    seen = await asyncio.gather(*watches)

    assert counts == [BATCHES, BATCHES]
    entries = stored(replicas[0].database)
    for producer_id in ("a", "b"):
        assert [entry for entry in entries if entry.startswith(producer_id.encode())] == [
            batch(n, producer_id=producer_id).payload for n in range(1, BATCHES + 1)
        ]
    assert all(one == entries for one in seen)


@pytest.mark.parametrize("replicas", [REPLICATED], indirect=True)
async def test_nothing_is_missed_while_redis_dies_and_comes_back(
    replicas: list[Replica], redis_server: RedisServer
) -> None:
    watches = [
        asyncio.create_task(replica.watch(BATCHES, seeded(n)))
        for n, replica in enumerate(replicas * 3)
    ]

    async def trouble_redis() -> None:
        for _ in range(2):
            await asyncio.to_thread(redis_server.kill)
            await asyncio.sleep(0.02)
            redis_server.launch()  # not in a thread, with which it would end
            await asyncio.to_thread(redis_server.wait_until_ready)
            await asyncio.sleep(0.02)
            await asyncio.to_thread(redis_server.empty)

    trouble = asyncio.create_task(trouble_redis())
    errors: list[ServiceError] = []
    for n in range(1, BATCHES + 1):
        try:
            await replicas[n % 2].committer.commit(batch(n))
        except ServiceError as error:
            errors.append(error)
        await asyncio.sleep(0.002)
    await trouble
    seen = await asyncio.gather(*watches)

    assert errors == []
    assert all(one == stored(replicas[0].database) for one in seen)
