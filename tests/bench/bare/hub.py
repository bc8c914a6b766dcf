"""The bare program's fan-out: raw bytes to watchers, within the process or through Redis."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from typing import Any, Final

import redis.asyncio

SUBSCRIBED: Final = b"\x00"
"""What a watcher is sent first."""


class Hub:
    """Hands bytes to watchers: a queue and an event each."""

    def __init__(self) -> None:
        self._watchers: dict[asyncio.Event, deque[bytes]] = {}

    def publish(self, raws: list[bytes]) -> None:
        """Give every watcher every payload."""
        for wake, waiting in self._watchers.items():
            waiting.extend(raws)
            wake.set()

    async def watch(self) -> AsyncGenerator[bytes]:
        """Yield `SUBSCRIBED`, and what is published from now on."""
        wake, waiting = asyncio.Event(), deque[bytes]()
        self._watchers[wake] = waiting
        try:
            yield SUBSCRIBED
            while True:
                while waiting:
                    yield waiting.popleft()
                wake.clear()
                await wake.wait()
        finally:
            del self._watchers[wake]


class Relay:
    """Sends what is published through Redis and hears it there, as replicas would."""

    def __init__(self, hub: Hub, url: str) -> None:
        self._hub = hub
        self._redis = redis.asyncio.Redis.from_url(url)
        self._outgoing: asyncio.Queue[list[bytes]] = asyncio.Queue()
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Subscribe."""
        pubsub = self._redis.pubsub()
        await pubsub.subscribe("bare")
        self._tasks = [asyncio.create_task(self._send()), asyncio.create_task(self._hear(pubsub))]

    def publish(self, raws: list[bytes]) -> None:
        """Put payloads in the queue."""
        self._outgoing.put_nowait(raws)

    async def _send(self) -> None:
        while True:
            raws = await self._outgoing.get()
            while not self._outgoing.empty():
                raws = raws + self._outgoing.get_nowait()
            pipeline = self._redis.pipeline(transaction=False)
            for raw in raws:
                pipeline.publish("bare", raw)
            await pipeline.execute()

    async def _hear(self, pubsub: Any) -> None:
        async for message in pubsub.listen():
            if message["type"] == "message":
                self._hub.publish([message["data"]])
