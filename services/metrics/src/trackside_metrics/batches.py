"""What a batch of points must be like, and its blocks once they have been checked."""

from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np
from google.protobuf.message import DecodeError

from trackside_metrics.blocks import (
    ONE_POINT_BYTES,
    Columns,
    Layout,
    encode_columns,
    find_layout,
    is_one_point,
)
from trackside_metrics.identities import Identities, Identity, faults_of, identity_of
from trackside_metrics.shadows import BATCHES
from trackside_protos.metrics.v1 import series_pb2
from trackside_serving.errors import (
    InvalidFieldError,
    MalformedMessageError,
    TooManyItemsError,
    Violation,
)

BLOCK_LIMIT: Final = 1000
POINT_LIMIT: Final = 100_000

_TOLD_VIOLATIONS: Final = 8


class Block(NamedTuple):
    """A block that has been checked."""

    identity: Identity
    points: int
    body: bytes
    """Canonical, without what the service adds."""
    layout: Layout | None
    """None: it has one point."""


def read_batch(raw: bytes, identities: Identities) -> list[Block]:
    """Return the blocks of an encoded `AppendMetricsRequest`.

    Raises:
        MalformedMessageError: The bytes are no request.
        TooManyItemsError: There are too many blocks or points.
        InvalidFieldError: A field is wrong.
    """
    try:
        encoded: list[bytes] = list(BATCHES.FromString(raw).blocks)
        _check_block_count(len(encoded))
        blocks: list[Block] = []
        points = 0
        for index, block in enumerate(encoded):
            taken = _quickly(block, identities) or _slowly(block, index, encoded)
            points += taken.points
            blocks.append(taken)
    except DecodeError as error:
        raise MalformedMessageError from error
    _check_point_count(points)
    return blocks


def _check_block_count(count: int) -> None:
    if not count:
        raise InvalidFieldError.of("blocks", f"not 1 to {BLOCK_LIMIT:,}")
    if count > BLOCK_LIMIT:
        message = f"A batch has more than {BLOCK_LIMIT:,} blocks."
        raise TooManyItemsError(message, metadata={"limit": str(BLOCK_LIMIT)})


def _check_point_count(count: int) -> None:
    if count > POINT_LIMIT:
        message = f"A batch has more than {POINT_LIMIT:,} points."
        raise TooManyItemsError(message, metadata={"limit": str(POINT_LIMIT)})


def _quickly(block: bytes, identities: Identities) -> Block | None:
    """Return a canonical block; None sends the caller to the ordinary parser."""
    identity = identities.known(block[:-ONE_POINT_BYTES])
    if identity is not None and is_one_point(block):
        return Block(identity, 1, block, None)
    layout = find_layout(block)
    if layout is None or layout.end != len(block):
        return None
    identity = identities.of(block[: layout.prefix])
    return None if identity is None else Block(identity, layout.points, block, layout)


def _slowly(block: bytes, index: int, encoded: list[bytes]) -> Block:
    """Return a block in canonical form.

    Raises:
        DecodeError: It is no block.
        InvalidFieldError: A field is wrong, of this block or of one behind it.
    """
    parsed = series_pb2.PointBlock.FromString(block)
    if next(_faults(parsed), None) is not None:
        raise _wrong(index, encoded)
    identity = identity_of(parsed.key, parsed.context)
    columns = Columns(
        np.array(parsed.steps, np.int64),
        np.array(parsed.times_millis, np.int64),
        np.array(parsed.values, np.float64),
    )
    body = identity.prefix + encode_columns(columns)
    return Block(identity, len(columns.steps), body, find_layout(body))


def _wrong(start: int, encoded: list[bytes]) -> InvalidFieldError:
    violations: list[Violation] = []
    for index in range(start, len(encoded)):
        parsed = series_pb2.PointBlock.FromString(encoded[index])
        violations += [
            Violation(f"blocks[{index}].{field}", description)
            for field, description in _faults(parsed)
        ]
        if len(violations) >= _TOLD_VIOLATIONS:
            break
    first = violations[0]
    return InvalidFieldError(
        f"{first.field}: {first.description}", violations=violations[:_TOLD_VIOLATIONS]
    )


def _faults(block: series_pb2.PointBlock) -> Iterator[tuple[str, str]]:
    """Yield the fields of a block that are wrong, and what is wrong with each."""
    yield from faults_of(block.key, block.context)
    count = len(block.steps)
    if not 1 <= count <= POINT_LIMIT:
        yield "steps", f"not 1 to {POINT_LIMIT:,} points"
    for field, length in (("times_millis", len(block.times_millis)), ("values", len(block.values))):
        if length != count:
            yield field, f"has {length:,} points where `steps` has {count:,}"
