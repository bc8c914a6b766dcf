"""The bare program: the least code that does what the product's hot path has to do.

    producer --gRPC stream--> decode -> one row (group commit, FULL) -> acknowledgement
                                                `-> publish -> gRPC stream -> watcher

The requests are the product's own, so both get the same bytes. Nothing is checked.
`python -m bench.bare KIND STORE [REDIS_URL]` prints the port and serves until it is killed;
KIND is `points` or `lines`, STORE a path or the URL of a PostgreSQL database.
"""

import asyncio
import struct
import sys
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio
import uvloop

from bench.bare.hub import Hub, Relay
from bench.bare.rows import DECODERS
from bench.bare.writer import PostgresqlStore, SqliteStore, Writer

Context = Any
"""grpc's own types for it are no classes at run time."""


class Stream:
    """One producer's connection: counts what was read and what is stored."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._news = asyncio.Event()
        self._read = self._stored = self._told = 0
        self._has_ended = False

    def stored(self, count: int) -> None:
        """Count batches that are on disk."""
        self._stored += count
        self._news.set()

    async def read(self, requests: AsyncIterator[bytes], writer: "Writer[Stream]") -> None:
        """Hand everything that comes to the writer."""
        async for raw in requests:
            self._read += 1
            writer.queue.put((raw, self))
        self._has_ended = True
        self._news.set()

    async def acknowledge(self) -> None:
        """Tell the producer how many more are stored, until it has ended and all are."""
        while not (self._has_ended and self._told == self._read):
            await self._news.wait()
            self._news.clear()
            count, self._told = self._stored - self._told, self._stored
            if count:
                await self._context.write(struct.pack("<I", count))


class BareServer:
    """Takes batches in and hands them to watchers."""

    def __init__(self, kind: str, store: str, redis_url: str) -> None:
        self._hub = Hub()
        self._relay = Relay(self._hub, redis_url) if redis_url else None
        self._loop = asyncio.get_running_loop()
        opened = PostgresqlStore(store) if "://" in store else SqliteStore(store)
        self._writer: Writer[Stream] = Writer(opened, DECODERS[kind], self._committed)

    async def serve(self) -> None:
        """Serve until the process is killed."""
        if self._relay is not None:
            await self._relay.start()
        self._writer.start()
        server = grpc.aio.server(
            options=[("grpc.so_reuseport", 0), ("grpc.max_receive_message_length", 16 << 20)]
        )
        handlers: dict[str, grpc.RpcMethodHandler[Any, Any]] = {
            "Ingest": grpc.stream_stream_rpc_method_handler(self._ingest),
            "Watch": grpc.unary_stream_rpc_method_handler(self._watch),
        }
        service = grpc.method_handlers_generic_handler("bare.Bare", handlers)
        server.add_generic_rpc_handlers((service,))
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        print(port, flush=True)
        await server.wait_for_termination()

    async def _ingest(self, requests: AsyncIterator[bytes], context: Context) -> None:
        stream = Stream(context)
        reader = asyncio.create_task(stream.read(requests, self._writer))
        await stream.acknowledge()
        await reader

    async def _watch(self, _request: bytes, context: Context) -> None:
        async for raw in self._hub.watch():
            await context.write(raw)

    def _committed(self, group: list[tuple[bytes, Stream]]) -> None:
        self._loop.call_soon_threadsafe(self._tell, group)

    def _tell(self, group: list[tuple[bytes, Stream]]) -> None:
        (self._relay or self._hub).publish([raw for raw, _ in group])
        for stream, count in Counter(stream for _, stream in group).items():
            stream.stored(count)


async def main(kind: str, store: str, redis_url: str = "") -> None:
    """Make the server and serve."""
    await BareServer(kind, store, redis_url).serve()


if __name__ == "__main__":
    uvloop.run(main(*sys.argv[1:]))
