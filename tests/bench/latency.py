"""How long it takes from a producer's call until a watcher has it."""

import asyncio
import contextlib
import time
from typing import Final

import grpc.aio
import numpy as np

from bench import batches
from bench.batches import Template
from bench.figures import Figure
from bench.load import Target, in_process
from bench.product import APPEND_METRICS, bare, running
from bench.servers import Servers
from bench.streams import connections, converse, drain
from bench.watching import BARE_RUN, Door, Watcher, door_of, door_of_bare

_BATCHES: Final = 400
_GAP: Final = 0.01


def in_one_process() -> list[Figure]:
    """100 batches a second of 100 points, one watcher; stored in SQLite."""
    with bare("points") as target:
        template = batches.points(BARE_RUN, "p", count=100)
        yard = in_process(latency, target, template, door_of_bare(target))
    with running() as product:
        (run_id,) = product.runs(1)
        template = batches.points(run_id, "p", count=100)
        target = product.target(APPEND_METRICS)
        ours = in_process(latency, target, template, door_of(product, run_id))
    return [_figure("producer to watcher, p50, in process", ours, yard)]


def through_redis(servers: Servers) -> list[Figure]:
    """The same between two processes: stored in PostgreSQL, told through Redis."""
    with servers.fresh() as (store, redis_url), contextlib.ExitStack() as both:
        target, other = (
            both.enter_context(bare("points", store=store, redis_url=redis_url)) for _ in "ab"
        )
        template = batches.points(BARE_RUN, "p", count=100)
        yard = in_process(latency, target, template, door_of_bare(other))
    with (
        servers.fresh() as (store, redis_url),
        running({"TRACKSIDE_DATABASE_URL": store, "TRACKSIDE_REDIS_URL": redis_url}) as product,
        product.metrics_replica() as replica,
    ):
        (run_id,) = product.runs(1)
        template = batches.points(run_id, "p", count=100)
        target = product.target(APPEND_METRICS)
        ours = in_process(latency, target, template, door_of(product, run_id, address=replica))
    return [_figure("producer to watcher, p50, through Redis", ours, yard)]


async def latency(target: Target, template: Template, door: Door) -> float:
    """Return the median time from a producer's call to a watcher, in seconds."""
    async with (
        connections(target.address, 1) as (sending,),
        connections(door.target.address, 1) as (watching,),
    ):
        return await latency_between(sending, watching, target, template, door)


async def latency_between(
    sending: grpc.aio.Channel,
    watching: grpc.aio.Channel,
    target: Target,
    template: Template,
    door: Door,
) -> float:
    """Return the median over these connections."""
    watcher = Watcher(door.open(watching))
    await watcher.until_subscribed()
    call = converse(sending, target.ingest, target.metadata)
    acknowledgements = asyncio.create_task(drain(call))
    taken: list[float] = []
    for sequence in range(1, _BATCHES + 1):
        begin = time.perf_counter()
        await call.write(template.request(sequence))
        await watcher.until(sequence)
        taken.append(time.perf_counter() - begin)
        await asyncio.sleep(max(0.0, begin + _GAP - time.perf_counter()))
    await call.done_writing()
    await acknowledgements
    await watcher.close()
    return float(np.median(taken))


def _figure(name: str, ours: float, yard: float) -> Figure:
    return Figure(name, ours * 1000, "ms", "≤ 2 of bare", 2.0, yard * 1000)
