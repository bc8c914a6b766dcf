"""Calling another server of ours: bytes over one channel, errors as they were there."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from datetime import timedelta
from pathlib import Path
from typing import Final, TypeVar

import grpc
import grpc.aio
from google.protobuf.message import Message

from trackside_serving.addresses import Address
from trackside_serving.calls import Call
from trackside_serving.errors import ShuttingDownError
from trackside_serving.relayed import error_of

ResponseT = TypeVar("ResponseT", bound=Message)
Token = Callable[[], str]
"""Returns the token to call with."""

SERVICE_TOKEN_LIFETIME: Final = timedelta(days=1)
"""How long a token is good that a server makes for itself; it makes one for each call."""

_OPTIONS: Final = (
    ("grpc.max_receive_message_length", 16 << 20),
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2_000),
)
_CALL_SECONDS: Final = 30.0
_WITH_ITS_OWN_CURSOR: Final = frozenset({"SLOW_CONSUMER", "SHUTTING_DOWN"})


class RemoteServer:
    """Another server, called over one channel. Nothing is opened before the first call.

    To be made and used in one running loop.

    Args:
        address: Where it listens.
        token: The token for calls that are made for no caller.
        certificate: The certificate chain by which it is known; None: it speaks no TLS.
        read_ahead: About how many bytes of a stream may be on their way before they are wanted;
            None: as many as keep the line busy, which on a fast one are tens of megabytes.
    """

    def __init__(
        self,
        address: str,
        *,
        token: Token,
        certificate: Path | None = None,
        read_ahead: int | None = None,
    ) -> None:
        self._token = token
        # A proxy is never between servers on one machine.
        proxied = not Address.parse(address).is_loopback
        options = [*_OPTIONS, ("grpc.enable_http_proxy", int(proxied))]
        if read_ahead is not None:
            options += [("grpc.http2.bdp_probe", 0), ("grpc.http2.lookahead_bytes", read_ahead)]
        if certificate is None:
            self._channel = grpc.aio.insecure_channel(address, options)
        else:
            credentials = grpc.ssl_channel_credentials(certificate.read_bytes())
            self._channel = grpc.aio.secure_channel(address, credentials, options)

    async def close(self) -> None:
        """End every call and give the channel up."""
        await self._channel.close()

    def stream_for_caller(self, path: str) -> Callable[[Message, Call], AsyncIterator[bytes]]:
        """Return a method of the other server that answers with a stream, as if it were here.

        It is called with the caller's own token, so the other server decides what the caller
        may see. It ends with `ShuttingDownError` when this server goes down.
        """

        async def stream(request: Message, call: Call) -> AsyncGenerator[bytes]:
            opened = self._open(path, request, call.token, call.time_remaining())
            going_down = asyncio.ensure_future(call.draining.wait())
            going_down.add_done_callback(lambda _: opened.cancel())
            try:
                async with aclosing(_responses(opened)) as responses:
                    async for response in responses:
                        yield response
            except asyncio.CancelledError:
                if _is_cancelled() or not call.draining.is_set():
                    raise
                raise ShuttingDownError from None
            finally:
                going_down.cancel()

        return stream

    def stream_for_service(
        self, path: str, kind: type[ResponseT]
    ) -> Callable[[Message], AsyncIterator[ResponseT]]:
        """Return a method of the other server that answers with a stream, called for ourselves."""

        async def stream(request: Message) -> AsyncGenerator[ResponseT]:
            opened = self._open(path, request, self._token(), None)
            async with aclosing(_responses(opened)) as responses:
                async for response in responses:
                    yield kind.FromString(response)

        return stream

    def call_for_service(
        self, path: str, kind: type[ResponseT]
    ) -> Callable[[Message], Awaitable[ResponseT]]:
        """Return a method of the other server that answers once, called for ourselves.

        It raises `ServiceError`: what the other server said, or that it cannot be reached.
        """

        async def call(request: Message) -> ResponseT:
            method: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = self._channel.unary_unary(path)
            try:
                response = await method(
                    request.SerializeToString(),
                    timeout=_CALL_SECONDS,
                    metadata=_authorized(self._token()),
                )
            except grpc.aio.AioRpcError as failure:
                raise error_of(failure) from None
            return kind.FromString(response)

        return call

    def _open(
        self, path: str, request: Message, token: str, timeout: float | None
    ) -> "grpc.aio.UnaryStreamCall[bytes, bytes]":
        method: grpc.aio.UnaryStreamMultiCallable[bytes, bytes] = self._channel.unary_stream(path)
        return method(
            request.SerializeToString(),
            timeout=timeout,
            metadata=_authorized(token),
        )


def _authorized(token: str) -> grpc.aio.Metadata:
    return grpc.aio.Metadata(("authorization", f"Bearer {token}"))


async def _responses(opened: "grpc.aio.UnaryStreamCall[bytes, bytes]") -> AsyncGenerator[bytes]:
    """Yield what comes; end the call when nobody wants more.

    Raises:
        ServiceError: What the other server said, or that it cannot be reached.
    """
    try:
        async for response in opened:
            yield response
    except grpc.aio.AioRpcError as failure:
        error = error_of(failure)
        if error.reason in _WITH_ITS_OWN_CURSOR:
            # It resumes the other server's stream; whose call this is enters its own.
            error.metadata.pop("cursor", None)
        raise error from None
    finally:
        opened.cancel()


def _is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
