"""Server reflection, as v1 and v1alpha, that knows the symbols of methods too."""

from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from typing import Any, Final, TypeVar

from google.protobuf import descriptor_pb2, text_format
from google.protobuf.descriptor import (
    Descriptor,
    FieldDescriptor,
    FileDescriptor,
    ServiceDescriptor,
)
from google.protobuf.descriptor_pool import Default, DescriptorPool
from grpc_reflection.v1alpha import reflection, reflection_pb2

from trackside_serving.calls import Call, Implementation, parse

V1: Final = "grpc.reflection.v1"
T = TypeVar("T")


class Reflection:
    """Answers what a server can do; once a version of the protocol.

    Args:
        descriptor: `V1_SERVICE` or `V1ALPHA_SERVICE`.
        names: The full names of the services to list.
    """

    def __init__(self, descriptor: ServiceDescriptor, names: Iterable[str]) -> None:
        self.descriptor = descriptor
        # Its type stubs are not those of the asynchronous servicer that it is.
        self._servicer: Any = reflection.aio.ReflectionServicer(tuple(names), pool=SymbolPool())

    @property
    def handlers(self) -> Mapping[str, Implementation]:
        """The implementation, by the method's name in the schema."""
        return {"ServerReflectionInfo": self.server_reflection_info}

    async def server_reflection_info(
        self, requests: AsyncIterator[bytes], _call: Call
    ) -> AsyncIterator[bytes]:
        """Yield one answer for each request."""
        # The messages of v1 and v1alpha are the same on the wire.
        parsed = (parse(reflection_pb2.ServerReflectionRequest, data) async for data in requests)
        async for response in self._servicer.ServerReflectionInfo(parsed, None):
            yield response.SerializeToString()


class SymbolPool:
    """The descriptors of this process, with what the reflection servicer asks of a pool.

    A method is a symbol too, but the pools of protobuf do not find it: its file is that of its
    service, so the last part of an unknown name is cut off and the rest looked for.
    """

    def FindFileByName(self, file_name: str) -> FileDescriptor:  # noqa: N802 - protobuf's name
        """Return the file."""
        return _ask(lambda pool: pool.FindFileByName(file_name))

    def FindFileContainingSymbol(self, symbol: str) -> FileDescriptor:  # noqa: N802 - as above
        """Return the file that declares the symbol, or the service of the method."""
        try:
            return _ask(lambda pool: pool.FindFileContainingSymbol(symbol))
        except KeyError:
            parent, _, method = symbol.rpartition(".")
            service = _ask(lambda pool: pool.FindServiceByName(parent))
            if method not in service.methods_by_name:
                raise
            return service.file

    def FindMessageTypeByName(self, full_name: str) -> Descriptor:  # noqa: N802 - as above
        """Return the message type."""
        return _ask(lambda pool: pool.FindMessageTypeByName(full_name))

    def FindExtensionByNumber(  # noqa: N802 - as above
        self, message: Descriptor, number: int
    ) -> FieldDescriptor:
        """Return the extension of the message."""
        return Default().FindExtensionByNumber(message, number)

    def FindAllExtensions(  # noqa: N802 - as above
        self, message: Descriptor
    ) -> Iterable[FieldDescriptor]:
        """Return all extensions of the message."""
        return Default().FindAllExtensions(message)


def _ask(question: Callable[[DescriptorPool], T]) -> T:
    try:
        return question(Default())
    except KeyError:
        return question(_V1_POOL)


def _v1_pool() -> DescriptorPool:
    """Return a pool with the schema of v1, which the reflection package does not bring."""
    file = descriptor_pb2.FileDescriptorProto()
    reflection_pb2.DESCRIPTOR.CopyToProto(file)
    text = text_format.MessageToString(file).replace("v1alpha", "v1")
    pool = DescriptorPool()
    pool.Add(text_format.Parse(text, descriptor_pb2.FileDescriptorProto()))
    return pool


_V1_POOL: Final = _v1_pool()
V1_SERVICE: Final = _V1_POOL.FindServiceByName(f"{V1}.ServerReflection")
V1ALPHA_SERVICE: Final = Default().FindServiceByName(f"{V1}alpha.ServerReflection")
