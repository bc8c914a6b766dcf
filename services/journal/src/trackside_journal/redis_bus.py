"""The bus over Redis pub/sub: replicas hear of each other's commits within milliseconds.

Publishing is off the acknowledgement's path: a queue bounded in bytes, and a task that sends
what waits in one pipeline. When Redis is away nothing fails; the hub's search finds new
entries in the store.
"""

import asyncio
import logging
import secrets
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

import redis.asyncio
from google.protobuf.message import DecodeError
from redis.asyncio.client import PubSub
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from typing_extensions import override

from trackside_journal.bus import Bus
from trackside_journal.fanout import Hub
from trackside_journal.notices import Notice
from trackside_journal.tasks import cancel
from trackside_protos.buses.v1 import notice_pb2

_LOG: Final = logging.getLogger(__name__)
_PAYLOAD_LIMIT: Final = 64 << 10
_QUEUE_BYTES: Final = 8 << 20
_PIPELINE: Final = 256
_RETRY_SECONDS: Final = 0.5
_PING_SECONDS: Final = 5.0


class RedisBus(Bus):
    """The bus of several processes. Delivers to this process's hub directly."""

    def __init__(self, hub: Hub, *, url: str, server_id: str, service: str) -> None:
        self._hub = hub
        self._redis = redis.asyncio.Redis.from_url(
            url,
            socket_connect_timeout=2,
            socket_timeout=_PING_SECONDS,
            health_check_interval=_PING_SECONDS,
            # A connection mended in silence would hide that notices were lost.
            retry=Retry(NoBackoff(), 0),
        )
        self._prefix = f"trackside:{server_id}:{service}:"
        self._origin = secrets.token_hex(8)
        self._outgoing = _Outgoing()
        self._wishes: dict[str, bool] = {}
        self._has_wishes = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._is_reached: bool | None = None

    @override
    async def start(self) -> None:
        self._hub.on_topic(self._want)
        self._tasks = [
            asyncio.create_task(self._send(), name="redis-bus-sender"),
            asyncio.create_task(self._listen(), name="redis-bus-listener"),
        ]

    @override
    def publish(self, notices: Sequence[Notice]) -> None:
        for notice in notices:
            self._hub.deliver(notice)
            self._outgoing.put(self._channel(notice.topic), self._encode(notice))

    @override
    async def close(self) -> None:
        # What waits to be published is dropped: the store has it.
        await cancel(*self._tasks)
        await self._redis.aclose()

    def _channel(self, topic: str) -> str:
        return self._prefix + topic

    def _encode(self, notice: Notice) -> bytes:
        payload = notice.payload
        return notice_pb2.Notice(
            origin=self._origin,
            topic=notice.topic,
            previous_position=notice.previous,
            last_position=notice.last,
            payload=payload if payload is not None and len(payload) <= _PAYLOAD_LIMIT else None,
        ).SerializeToString()

    async def _send(self) -> None:
        while True:
            messages = await self._outgoing.take(_PIPELINE)
            try:
                async with self._redis.pipeline(transaction=False) as pipeline:
                    for channel, message in messages:
                        pipeline.publish(channel, message)
                    await pipeline.execute()
            except (RedisError, OSError):
                self._outgoing.clear()  # the others find them in the store
                await asyncio.sleep(_RETRY_SECONDS)

    async def _listen(self) -> None:
        while True:
            try:
                await self._listen_once()
            except* (RedisError, OSError):
                self._note_reached(is_reached=False)
            await asyncio.sleep(_RETRY_SECONDS)

    async def _listen_once(self) -> None:
        async with self._redis.pubsub() as pubsub, asyncio.TaskGroup() as group:
            # A channel of our own keeps the connection subscribed when nobody watches.
            await pubsub.subscribe(self._channel(f"replica:{self._origin}"))
            self._note_reached(is_reached=True)
            self._wishes = dict.fromkeys(self._hub.topics(), True)
            self._has_wishes.set()
            group.create_task(self._follow_wishes(pubsub))
            group.create_task(self._receive(pubsub))

    def _note_reached(self, *, is_reached: bool) -> None:
        if is_reached and self._is_reached is False:
            _LOG.info("Redis is reached again.")
        elif not is_reached and self._is_reached is not False:
            _LOG.warning("Redis cannot be reached; watches read the store until it is back.")
        self._is_reached = is_reached

    def _want(self, topic: str, wanted: bool) -> None:  # noqa: FBT001 - called by the hub
        self._wishes[topic] = wanted
        self._has_wishes.set()

    async def _follow_wishes(self, pubsub: PubSub) -> None:
        while True:
            await self._has_wishes.wait()
            self._has_wishes.clear()
            wishes, self._wishes = self._wishes, {}
            come = [self._channel(topic) for topic, wanted in wishes.items() if wanted]
            gone = [self._channel(topic) for topic, wanted in wishes.items() if not wanted]
            if come:
                await pubsub.subscribe(*come)
            if gone:
                await pubsub.unsubscribe(*gone)

    async def _receive(self, pubsub: PubSub) -> None:
        while True:
            # The time-out lets a ping be sent, by which a dead connection is noticed.
            message = cast(
                "Mapping[str, Any] | None", await pubsub.get_message(timeout=_PING_SECONDS)
            )
            if message is None:
                continue
            if message["type"] == "subscribe":
                # Whatever was published before the subscription took hold was not heard.
                channel: bytes = message["channel"]
                self._hub.read_again(channel.decode().removeprefix(self._prefix))
            elif message["type"] == "message":
                self._hear(message["data"])

    def _hear(self, data: bytes) -> None:
        try:
            notice = notice_pb2.Notice.FromString(data)
        except DecodeError:
            _LOG.warning("Something that is no notice was published on a channel of ours.")
            return
        if notice.origin != self._origin:
            self._hub.deliver(
                Notice(
                    notice.topic,
                    notice.previous_position,
                    notice.last_position,
                    notice.payload if notice.HasField("payload") else None,
                )
            )


class _Outgoing:
    """Messages on their way to Redis: the oldest are dropped when too many bytes wait."""

    def __init__(self) -> None:
        self._messages: deque[tuple[str, bytes]] = deque()
        self._size = 0
        self._has_some = asyncio.Event()

    def put(self, channel: str, message: bytes) -> None:
        self._messages.append((channel, message))
        self._size += len(message)
        while self._size > _QUEUE_BYTES:
            self._size -= len(self._messages.popleft()[1])
        self._has_some.set()

    async def take(self, limit: int) -> list[tuple[str, bytes]]:
        while not self._messages:
            self._has_some.clear()
            await self._has_some.wait()
        taken = [self._messages.popleft() for _ in range(min(limit, len(self._messages)))]
        self._size -= sum(len(message) for _, message in taken)
        return taken

    def clear(self) -> None:
        self._messages.clear()
        self._size = 0
