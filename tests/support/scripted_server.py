"""A real gRPC server that answers as a test wrote down, and remembers what it was asked."""

import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent import futures
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import grpc
from google.protobuf import message_factory
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from trackside_protos.live.v1 import live_service_pb2
from trackside_protos.logs.v1 import logs_service_pb2
from trackside_protos.metrics.v1 import metrics_service_pb2
from trackside_protos.runners.v1 import runners_service_pb2
from trackside_protos.runs.v1 import runs_service_pb2
from trackside_protos.servers.v1 import servers_service_pb2

_SERVICES: Sequence[ServiceDescriptor] = [
    service
    for module in (
        live_service_pb2,
        logs_service_pb2,
        metrics_service_pb2,
        runners_service_pb2,
        runs_service_pb2,
        servers_service_pb2,
    )
    for service in module.DESCRIPTOR.services_by_name.values()
]


@dataclass
class Refused(Exception):  # noqa: N818 - it is what the answer is, not what went wrong here
    """An error as the services give it."""

    status: grpc.StatusCode
    reason: str = ""
    message: str = "refused"
    metadata: dict[str, str] = field(default_factory=dict[str, str])
    fields: dict[str, str] = field(default_factory=dict[str, str])


class Cut(Exception):  # noqa: N818 - see above
    """The connection breaks here."""


class HangUntilCancelled(Exception):  # noqa: N818 - see above
    """The stream stays open and says nothing more."""


Answer = Message | Exception | Sequence[Message | Exception] | Callable[[Any], Any]


class ScriptedServer:
    """Answers by method name.

    `answers["GetRun"]` is a message, an error, a function of the request, or for a stream the
    list of what is sent; `scripts["WatchRun"]` is a list of such lists, one for each call.
    """

    def __init__(self) -> None:
        self.answers: dict[str, Answer] = {}
        self.scripts: dict[str, list[Sequence[Message | Exception]]] = {}
        self.requests: dict[str, list[Any]] = defaultdict(list)
        self.metadata: list[Mapping[str, str | bytes]] = []
        self.port = 0
        self._server: grpc.Server | None = None
        self._stopping = threading.Event()

    @property
    def address(self) -> str:
        """Where it is served."""
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        """Serve, at the port of the last time if there was one."""
        self._stopping.clear()
        server = grpc.server(futures.ThreadPoolExecutor(32), options=[("grpc.so_reuseport", 0)])
        for service in _SERVICES:
            handlers = {method.name: self._handler(method) for method in service.methods}
            generic = grpc.method_handlers_generic_handler(service.full_name, handlers)
            server.add_generic_rpc_handlers([generic])
        self.port = server.add_insecure_port(f"127.0.0.1:{self.port}")
        server.start()
        self._server = server

    def stop(self) -> None:
        """Stop at once; open streams break."""
        self._stopping.set()
        if self._server is not None:
            self._server.stop(None).wait()
            self._server = None

    def _handler(self, method: MethodDescriptor) -> "grpc.RpcMethodHandler[Any, Any]":
        deserialize = message_factory.GetMessageClass(method.input_type).FromString
        serialize = _serialized
        if method.server_streaming:
            stream = partial(self._stream, method.name)
            return grpc.unary_stream_rpc_method_handler(stream, deserialize, serialize)
        unary = partial(self._unary, method.name)
        return grpc.unary_unary_rpc_method_handler(unary, deserialize, serialize)

    def _unary(self, name: str, asked: Message, context: grpc.ServicerContext) -> Message:
        self._remember(name, asked, context)
        answer = self._answer(name, asked)
        if isinstance(answer, Refused):
            _refuse(context, answer)
        assert isinstance(answer, Message)
        return answer

    def _stream(
        self, name: str, asked: Message, context: grpc.ServicerContext
    ) -> Iterator[Message]:
        self._remember(name, asked, context)
        for item in self._script(name, asked):
            if isinstance(item, Refused):
                _refuse(context, item)
            if isinstance(item, Cut):
                context.abort(grpc.StatusCode.UNAVAILABLE, "Connection reset by peer")
            if isinstance(item, HangUntilCancelled):
                self._hang(context)
                return
            assert isinstance(item, Message)
            yield item

    def _hang(self, context: grpc.ServicerContext) -> None:
        cancelled = threading.Event()
        context.add_callback(cancelled.set)
        while not (cancelled.wait(0.05) or self._stopping.is_set()):
            pass

    def _remember(self, name: str, asked: Message, context: grpc.ServicerContext) -> None:
        self.metadata.append(dict(context.invocation_metadata()))
        self.requests[name].append(asked)

    def _answer(self, name: str, asked: Message) -> Any:
        answer = self.answers.get(name, Refused(grpc.StatusCode.UNIMPLEMENTED))
        return answer(asked) if callable(answer) else answer

    def _script(self, name: str, asked: Message) -> Sequence[Message | Exception]:
        if scripts := self.scripts.get(name):
            return scripts.pop(0) if len(scripts) > 1 else scripts[0]
        answer = self._answer(name, asked)
        return [answer] if isinstance(answer, Message | Exception) else answer


def _refuse(context: grpc.ServicerContext, refused: Refused) -> None:
    status = status_pb2.Status(code=refused.status.value[0], message=refused.message)
    if refused.reason:
        info = error_details_pb2.ErrorInfo(
            reason=refused.reason, domain="trackside", metadata=refused.metadata
        )
        status.details.add().Pack(info)
    if refused.fields:
        wrong = error_details_pb2.BadRequest(
            field_violations=[
                error_details_pb2.BadRequest.FieldViolation(field=name, description=text)
                for name, text in refused.fields.items()
            ]
        )
        status.details.add().Pack(wrong)
    context.abort_with_status(rpc_status.to_status(status))


def _serialized(message: Message) -> bytes:
    return message.SerializeToString()
