"""Shadow messages: the same field numbers, but bytes where the schema has blocks.

On the wire a message is what a bytes field is. So a batch can be cut into its blocks without
parsing them.
"""

from typing import Any, Final

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from trackside_protos.metrics.v1 import metrics_service_pb2 as schema

_Field: Final = descriptor_pb2.FieldDescriptorProto


def _file() -> descriptor_pb2.FileDescriptorProto:
    file = descriptor_pb2.FileDescriptorProto(
        name="trackside/metrics/shadows.proto", package="trackside.metrics", syntax="proto3"
    )
    for name, number in (
        ("Batch", schema.AppendMetricsRequest.BLOCKS_FIELD_NUMBER),
        ("BlockList", schema.WatchMetricsResponse.BLOCKS_FIELD_NUMBER),
    ):
        file.message_type.add(name=name).field.add(
            name="blocks", number=number, type=_Field.TYPE_BYTES, label=_Field.LABEL_REPEATED
        )
    return file


_POOL: Final = descriptor_pool.DescriptorPool()
_POOL.Add(_file())


def _message(name: str) -> Any:  # noqa: ANN401 - a class that exists only at run time
    return message_factory.GetMessageClass(_POOL.FindMessageTypeByName(f"trackside.metrics.{name}"))


BATCHES: Final = _message("Batch")
"""An `AppendMetricsRequest` with its blocks as bytes."""

BLOCK_LISTS: Final = _message("BlockList")
"""A `WatchMetricsResponse` with its blocks as bytes."""
