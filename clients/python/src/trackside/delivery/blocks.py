"""Blocks of points, encoded from packed columns without a Python object for each point.

A shadow of the message `PointBlock` has `bytes` where the real one has packed lists: the same
on the wire, and many times as fast to build.
"""

import struct
import sys
from array import array
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final, Protocol, cast

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import Message

from trackside.delivery.wire import Item

if TYPE_CHECKING:
    from collections.abc import MutableMapping

MAX_POINTS: Final = 8_192
"""A block has at most as many points: some 200 KiB."""

_TEXT: Final = descriptor_pb2.FieldDescriptorProto.TYPE_STRING
_BYTES: Final = descriptor_pb2.FieldDescriptorProto.TYPE_BYTES
_MESSAGE: Final = descriptor_pb2.FieldDescriptorProto.TYPE_MESSAGE
_ONE: Final = descriptor_pb2.FieldDescriptorProto.LABEL_OPTIONAL
_MANY: Final = descriptor_pb2.FieldDescriptorProto.LABEL_REPEATED


class _ShadowBlock(Protocol):
    key: str
    steps: bytes
    times_millis: bytes
    values: bytes

    @property
    def context(self) -> "MutableMapping[str, str]": ...

    def SerializeToString(self) -> bytes: ...  # noqa: N802 - protobuf's name


def encode_blocks(
    key: str,
    context: Mapping[str, str],
    steps: Sequence[int],
    times_millis: Sequence[int],
    values: Sequence[float],
) -> Iterator[Item]:
    """Yield the points of one series as encoded blocks of bounded size."""
    for start in range(0, len(values), MAX_POINTS):
        piece = slice(start, start + MAX_POINTS)
        block = _new_block()
        block.key = key
        if context:
            block.context.update(context)
        block.steps = _packed("q", steps[piece])
        block.times_millis = _packed("q", times_millis[piece])
        block.values = _packed("d", values[piece])
        yield Item(block.SerializeToString(), len(values[piece]))


def _packed(code: str, numbers: Sequence[float]) -> bytes:
    if len(numbers) == 1:  # by far the most frequent, and an array costs more than it saves
        return struct.pack(f"<{code}", numbers[0])
    column = array(code, numbers)
    if sys.byteorder == "big":
        column.byteswap()
    return column.tobytes()


def _shadow() -> type[Message]:
    file = descriptor_pb2.FileDescriptorProto(
        name="shadow/point_block.proto", package="shadow", syntax="proto3"
    )
    block = file.message_type.add(name="PointBlock")
    entry = block.nested_type.add(name="ContextEntry")
    entry.options.map_entry = True
    entry.field.add(name="key", number=1, type=_TEXT, label=_ONE)
    entry.field.add(name="value", number=2, type=_TEXT, label=_ONE)
    block.field.add(name="key", number=2, type=_TEXT, label=_ONE)
    block.field.add(
        name="context",
        number=3,
        type=_MESSAGE,
        label=_MANY,
        type_name=".shadow.PointBlock.ContextEntry",
    )
    for number, name in enumerate(("steps", "times_millis", "values"), 4):
        block.field.add(name=name, number=number, type=_BYTES, label=_ONE)
    # A pool of its own: the default one belongs to the program that we are a guest in.
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("shadow.PointBlock"))


_SHADOW: Final = _shadow()


def _new_block() -> _ShadowBlock:
    return cast("_ShadowBlock", _SHADOW())
