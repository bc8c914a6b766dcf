"""From a request's bytes to rows: decoded and compressed, nothing checked."""

from collections.abc import Callable
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import zstandard
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from trackside_protos.logs.v1 import logs_service_pb2

Row = tuple[str, int, int, int, float, bytes]
"""Key, count, first and last step or second, sum, blob."""

_ZSTD: Final = zstandard.ZstdCompressor(level=1)
_FIELD = descriptor_pb2.FieldDescriptorProto


def _request_class() -> Any:
    """Return the request's class with its packed columns as bytes, which numpy reads in place."""
    file = descriptor_pb2.FileDescriptorProto(name="bare.proto", package="bare", syntax="proto3")
    block = file.message_type.add(name="Block")
    block.field.add(name="key", number=2, type=_FIELD.TYPE_STRING, label=_FIELD.LABEL_OPTIONAL)
    for number, name in ((4, "steps"), (5, "times"), (6, "values")):
        block.field.add(
            name=name, number=number, type=_FIELD.TYPE_BYTES, label=_FIELD.LABEL_OPTIONAL
        )
    request = file.message_type.add(name="Request")
    request.field.add(
        name="blocks",
        number=2,
        type=_FIELD.TYPE_MESSAGE,
        type_name=".bare.Block",
        label=_FIELD.LABEL_REPEATED,
    )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("bare.Request"))


_REQUEST: Final = _request_class()


def point_rows(raw: bytes) -> list[Row]:
    """Return one row for each series."""
    rows: list[Row] = []
    for block in _REQUEST.FromString(raw).blocks:
        steps, times = np.frombuffer(block.steps, "<i8"), np.frombuffer(block.times, "<i8")
        values = np.frombuffer(block.values, "<f8")
        columns = (np.diff(steps, prepend=0), np.diff(times, prepend=0), values)
        blob = _ZSTD.compress(b"".join(map(_shuffled, columns)))
        ends = int(steps[0]), int(steps[-1])
        rows.append((block.key, values.size, *ends, float(values.sum()), blob))
    return rows


def line_rows(raw: bytes) -> list[Row]:
    """Return one row."""
    entries = logs_service_pb2.AppendLogsRequest.FromString(raw).entries
    first, last = entries[0].time.seconds, entries[-1].time.seconds
    return [("log", len(entries), first, last, 0.0, _ZSTD.compress(raw))]


DECODERS: Final[dict[str, Callable[[bytes], list[Row]]]] = {
    "points": point_rows,
    "lines": line_rows,
}


def _shuffled(column: npt.NDArray[Any]) -> bytes:
    return np.ascontiguousarray(column).view(np.uint8).reshape(-1, 8).T.tobytes()
