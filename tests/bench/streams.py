"""Calls that send and get raw bytes, over connections of their own."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, TypeAlias

import grpc
import grpc.aio

Conversation: TypeAlias = "grpc.aio.StreamStreamCall[bytes, bytes]"
Watch: TypeAlias = "grpc.aio.UnaryStreamCall[bytes, bytes]"
Call: TypeAlias = "grpc.aio.StreamStreamCall[bytes, bytes] | grpc.aio.UnaryStreamCall[bytes, bytes]"
Metadata = tuple[tuple[str, str], ...]

LARGEST_MESSAGE: Final = ("grpc.max_receive_message_length", 256 << 20)
_OPTIONS: Final = (("grpc.use_local_subchannel_pool", 1), LARGEST_MESSAGE)


@asynccontextmanager
async def connections(address: str, count: int) -> AsyncGenerator[Sequence[grpc.aio.Channel]]:
    """Open so many connections; end them, and their calls, at the end."""
    channels = [grpc.aio.insecure_channel(address, options=_OPTIONS) for _ in range(count)]
    try:
        yield channels
    finally:
        for channel in channels:
            await channel.close()


def converse(channel: grpc.aio.Channel, path: str, metadata: Metadata) -> Conversation:
    """Begin a call in which both sides send."""
    method: grpc.aio.StreamStreamMultiCallable[bytes, bytes] = channel.stream_stream(path)
    return method(metadata=metadata)


def watch(channel: grpc.aio.Channel, path: str, request: bytes, metadata: Metadata) -> Watch:
    """Begin a call in which the server alone sends."""
    method: grpc.aio.UnaryStreamMultiCallable[bytes, bytes] = channel.unary_stream(path)
    return method(request, metadata=metadata)


async def read(call: Call) -> bytes | None:
    """Return the next response; None at the end."""
    response: Any = await call.read()
    return response if isinstance(response, bytes) else None


async def finish(call: Conversation) -> None:
    """Say that nothing more comes, and read to the end."""
    await call.done_writing()
    await drain(call)


async def drain(call: Conversation) -> None:
    """Read to the end."""
    while await read(call) is not None:
        pass
