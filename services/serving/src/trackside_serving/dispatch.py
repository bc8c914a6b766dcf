"""From the wire to an implementation and back: the one door through which every call goes.

Authentication, authorisation, admission, parsing, the implementation, and what went wrong as a
status, in this order. All bytes are parsed here or by the service, never by grpc, so that bad
ones get our answer; and no exception's text leaves the process.
"""

import asyncio
import logging
import math
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias, TypeVar

import grpc
import grpc.aio
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from typing_extensions import override

from trackside_serving.admission import Kind, OpenCall, OpenCalls
from trackside_serving.authentication import authenticate
from trackside_serving.authorization import CONTROL, RULES, WITHOUT_TOKEN
from trackside_serving.calls import Call, Implementation, Service, parse
from trackside_serving.errors import (
    InternalError,
    NotAllowedError,
    ServiceError,
    ShuttingDownError,
    SlowConsumerError,
    UnknownMethodError,
)
from trackside_serving.identity import ANONYMOUS, Role
from trackside_serving.request_ids import REQUEST_ID, request_id
from trackside_serving.starting import ServiceIncompleteError
from trackside_serving.statuses import status_of, trailers_of
from trackside_serving.tokens import TokenVerifier, VerifiedToken
from trackside_serving.watchdog import LONGEST_CALL

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
T = TypeVar("T")
Translations = Mapping[type[Exception], Callable[[Any], ServiceError]]
"""Errors of libraries that know nothing of callers, and what callers are told of them."""

_WITH_CURSOR: Final = (SlowConsumerError, ShuttingDownError)
_NO_TOKEN: Final = VerifiedToken(ANONYMOUS, math.inf)
_logger: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Method:
    path: str
    name: str
    roles: frozenset[Role]
    needs_token: bool
    kind: Kind
    is_fed: bool
    request: type[Message]
    implementation: Implementation


class _PeerGoneError(Exception):
    """The caller went away while we wrote to it: nobody is left to be told anything."""


class Dispatcher(grpc.GenericRpcHandler):
    """Serves the methods of the given services, and refuses all others.

    Args:
        services: What to serve.
        verifier: Checks the tokens.
        open_calls: Counts the calls.
        draining: Set when the server goes down.
        translations: What to tell of errors that are no `ServiceError`; an error's nearest
            base class counts.

    Raises:
        ServiceIncompleteError: A method lacks its implementation or its rule.
    """

    def __init__(
        self,
        services: Iterable[Service],
        *,
        verifier: TokenVerifier,
        open_calls: OpenCalls,
        draining: asyncio.Event,
        translations: Translations | None = None,
    ) -> None:
        self._verifier = verifier
        self._open_calls = open_calls
        self._draining = draining
        self._translations: Translations = translations or {}
        self._handlers = {
            method.path: self._handler(method)
            for service in services
            for method in _methods(service)
        }
        self._unknown: Handler = grpc.stream_stream_rpc_method_handler(self._refuse_unknown)

    @override
    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Handler:
        return self._handlers.get(handler_call_details.method, self._unknown)

    def _handler(self, method: _Method) -> Handler:
        if method.is_fed:
            return grpc.stream_stream_rpc_method_handler(self._converser(method))
        if method.kind is Kind.STREAM:
            return grpc.unary_stream_rpc_method_handler(self._streamer(method))
        return grpc.unary_unary_rpc_method_handler(self._answerer(method))

    def _answerer(self, method: _Method) -> Callable[[bytes, Context], Any]:
        async def answer(data: bytes, context: Context) -> bytes | None:
            async def work(opened: OpenCall) -> bytes:
                request = parse(method.request, data)
                return _encoded(await method.implementation(request, opened.call))

            return await self._serve(method, context, work)

        return answer

    def _streamer(self, method: _Method) -> Callable[[bytes, Context], Any]:
        async def stream(data: bytes, context: Context) -> None:
            async def work(opened: OpenCall) -> None:
                request = parse(method.request, data)
                await _pump(opened, context, method.implementation(request, opened.call))
                if self._draining.is_set():
                    raise ShuttingDownError

            await self._serve(method, context, work)

        return stream

    def _converser(self, method: _Method) -> Callable[[object, Context], Any]:
        async def converse(_requests: object, context: Context) -> None:
            async def work(opened: OpenCall) -> None:
                requests = _Requests(opened, context)
                await _pump(opened, context, method.implementation(requests, opened.call))
                if self._draining.is_set() and not requests.have_ended:
                    raise ShuttingDownError

            await self._serve(method, context, work)

        return converse

    async def _serve(
        self, method: _Method, context: Context, work: Callable[[OpenCall], Awaitable[T]]
    ) -> T | None:
        opened = None
        try:
            opened = self._open(method, context)
            return await work(opened)
        except asyncio.CancelledError as error:
            await self._refuse(context, self._reason_of_cancellation(error, opened), opened)
        except _PeerGoneError:
            pass
        except Exception as error:  # noqa: BLE001 - whatever it is, its text stays in here
            await self._refuse(context, self._told(error, method.path, opened), opened)
        finally:
            if opened is not None:
                self._open_calls.release(opened)
        return None

    def _open(self, method: _Method, context: Context) -> OpenCall:
        token = _NO_TOKEN
        if method.needs_token:
            token = authenticate(self._verifier, _metadata(context))
            if token.caller.role not in method.roles:
                msg = f"A token of role {token.caller.role} may not call {method.name}."
                raise NotAllowedError(msg)
            if self._draining.is_set():
                raise ShuttingDownError
        call = Call(
            caller=token.caller,
            method=method.path,
            peer=context.peer(),
            deadline=_deadline(context, method.kind),
            draining=self._draining,
            token=token.token,
            request_id=request_id(_metadata(context)),
        )
        opened = OpenCall(call, method.kind, _current_task(), token, method.is_fed)
        self._open_calls.admit(opened)
        return opened

    async def _refuse_unknown(self, _requests: object, context: Context) -> None:
        error: ServiceError = UnknownMethodError()
        try:
            authenticate(self._verifier, _metadata(context))
        except ServiceError as refusal:
            error = refusal
        await self._refuse(context, error, None)

    async def _refuse(self, context: Context, error: ServiceError, opened: OpenCall | None) -> None:
        if opened is not None:
            opened.is_closing = True
            if opened.call.resume_cursor and isinstance(error, _WITH_CURSOR):
                error.metadata.setdefault("cursor", opened.call.resume_cursor)
        status = status_of(error)
        name = opened.call.request_id if opened else request_id(_metadata(context))
        trailers = (*trailers_of(status), (REQUEST_ID, name))
        try:
            await context.abort(error.status, status.message, trailers)
        except grpc.aio.AbortError:  # how grpc ends a call whose status was sent
            raise
        except Exception:  # noqa: BLE001 - the peer is gone; grpc would log it as our fault
            _logger.debug("nobody was left to be told", extra={"reason": error.reason})

    def _reason_of_cancellation(
        self, error: asyncio.CancelledError, opened: OpenCall | None
    ) -> ServiceError:
        """Return why we ended the call, or let the cancellation of anybody else go on."""
        task = _current_task()
        if opened is not None and opened.ending is not None:
            task.uncancel()
            return opened.ending
        if opened is not None and not task.cancelling():
            # An implementation let the end of a task of its own escape: a fault like any other.
            return self._internal(error, opened.call.method, opened)
        raise error

    def _told(self, error: Exception, path: str, opened: OpenCall | None) -> ServiceError:
        if isinstance(error, ServiceError):
            return error
        for kind in type(error).__mro__:
            translate = self._translations.get(kind)
            if translate is not None:
                return translate(error)
        return self._internal(error, path, opened)

    def _internal(self, error: BaseException, path: str, opened: OpenCall | None) -> InternalError:
        error_id = secrets.token_hex(8)
        _logger.error(
            "a call failed",
            exc_info=error,
            extra={
                "error_id": error_id,
                "method": path,
                "subject": opened.call.caller.subject if opened else "",
                "request_id": opened.call.request_id if opened else "",
            },
        )
        return InternalError(error_id)


class _Requests:
    """What the caller sends, as bytes; ends when the caller has ended it or has gone."""

    def __init__(self, opened: OpenCall, context: Context) -> None:
        self._opened = opened
        self._context = context
        self.have_ended = False

    def __aiter__(self) -> "_Requests":
        return self

    async def __anext__(self) -> bytes:
        try:
            data = await self._context.read()
        except Exception:  # noqa: BLE001 - the connection broke: there is no more to read
            data = grpc.aio.EOF
        if not isinstance(data, bytes):  # EOF
            self.have_ended = True
            raise StopAsyncIteration
        self._opened.reads += 1
        return data


async def _pump(
    opened: OpenCall, context: Context, responses: AsyncIterator[bytes | Message]
) -> None:
    """Write every response; when it does not come to the end, close the iterator."""
    write = context.write
    try:
        async for response in responses:
            data = response if isinstance(response, bytes) else response.SerializeToString()
            opened.writes += 1
            try:
                await write(data)
            except Exception as error:
                raise _PeerGoneError from error
            opened.writes += 1
    finally:
        close = getattr(responses, "aclose", None)
        if close is not None:
            await close()


def _encoded(response: bytes | Message) -> bytes:
    return response if isinstance(response, bytes) else response.SerializeToString()


def _metadata(context: Context) -> Iterable[tuple[str, str | bytes]]:
    return context.invocation_metadata() or ()


def _deadline(context: Context, kind: Kind) -> float | None:
    remaining: Any = context.time_remaining()  # the stubs know of no call without
    if kind is not Kind.STREAM:
        remaining = LONGEST_CALL if remaining is None else min(remaining, LONGEST_CALL)
    return None if remaining is None else time.monotonic() + remaining


def _current_task() -> "asyncio.Task[Any]":
    task = asyncio.current_task()
    assert task is not None, "grpc serves every call in a task"
    return task


def _methods(service: Service) -> Iterable[_Method]:
    descriptor, handlers = service.descriptor, service.handlers
    names = {method.name for method in descriptor.methods}
    if names != set(handlers):
        odd = ", ".join(sorted(names ^ set(handlers)))
        msg = f"{descriptor.full_name}: methods and implementations differ by {odd}"
        raise ServiceIncompleteError(msg)
    for method in descriptor.methods:
        yield _method(descriptor.full_name, method, handlers[method.name])


def _method(service: str, method: MethodDescriptor, implementation: Implementation) -> _Method:
    path = f"/{service}/{method.name}"
    if path not in RULES:
        msg = f"{path} has no rule of authorisation"
        raise ServiceIncompleteError(msg)
    if method.client_streaming and not method.server_streaming:
        msg = f"{path} takes a stream and gives one answer, which is not supported"
        raise ServiceIncompleteError(msg)
    kind = Kind.UNARY
    if method.server_streaming:
        kind = Kind.STREAM
    elif path in CONTROL:
        kind = Kind.CONTROL
    return _Method(
        path=path,
        name=method.name,
        roles=RULES[path],
        needs_token=path not in WITHOUT_TOKEN,
        kind=kind,
        is_fed=method.client_streaming,
        request=GetMessageClass(method.input_type),
        implementation=implementation,
    )
