"""Watchers of one run, and how the two programs are watched."""

import asyncio
import contextlib
from dataclasses import dataclass
from typing import Final

import grpc.aio

from bench.bare.hub import SUBSCRIBED
from bench.load import Target
from bench.product import APPEND_METRICS, Product
from bench.streams import Watch, read, watch
from trackside_protos.metrics.v1 import metrics_service_pb2
from trackside_protos.watches.v1 import watch_start_pb2

BARE_RUN: Final = "bare000000000000"

_MARK: Final = b"train/metric-0"
"""Every block holds its key once, so counting it counts blocks without decoding them."""


@dataclass(frozen=True)
class Door:
    """Where a watch is opened, and how."""

    target: Target
    path: str
    request: bytes = b""

    def open(self, channel: grpc.aio.Channel) -> Watch:
        """Begin the watch."""
        return watch(channel, self.path, self.request, self.target.metadata)


def door_of_bare(target: Target) -> Door:
    """Return where the bare program is watched."""
    return Door(target, "/bare.Bare/Watch")


def door_of(product: Product, run_id: str, *, address: str = "", is_new: bool = True) -> Door:
    """Return where a run is watched, for what is new or for all there is."""
    start = watch_start_pb2.WatchStart(
        position=watch_start_pb2.WATCH_POSITION_NOW
        if is_new
        else watch_start_pb2.WATCH_POSITION_BEGINNING
    )
    request = metrics_service_pb2.WatchMetricsRequest(run_id=run_id, start=start)
    return Door(
        Target(address or product.address, APPEND_METRICS, product.metadata),
        "/trackside.metrics.v1.MetricsService/WatchMetrics",
        request.SerializeToString(),
    )


class Watcher:
    """Counts the batches that it is sent. Made in a running loop."""

    def __init__(self, call: Watch) -> None:
        self._call = call
        self._count = 0
        self._changed = asyncio.Event()
        self._is_subscribed = asyncio.Event()
        self._task = asyncio.create_task(self._run())

    async def until_subscribed(self) -> None:
        """Return when the watch has begun; both programs say something then."""
        await self._is_subscribed.wait()

    async def until(self, count: int) -> None:
        """Return when so many have come."""
        while self._count < count:
            self._changed.clear()
            await self._changed.wait()

    async def close(self) -> None:
        """End the watch."""
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task

    async def _run(self) -> None:
        while (response := await read(self._call)) is not None:
            self._is_subscribed.set()
            if response != SUBSCRIBED:
                self._count += response.count(_MARK)
                self._changed.set()
