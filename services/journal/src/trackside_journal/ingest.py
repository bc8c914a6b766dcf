"""Taking in batches over a stream: raw bytes in, coalesced acknowledgements out.

The event loop reads only who sends what; parsing, validation and storing happen in the
committer's thread. What one stream may have waiting is bounded, in batches and in bytes:
past that it is not read.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from google.protobuf.message import DecodeError

from trackside_journal import wire
from trackside_journal.checksums import crc32c
from trackside_journal.committer import Ticket
from trackside_journal.producers import BatchKey, Stored
from trackside_journal.tasks import cancel, closing
from trackside_protos.producers.v1 import batch_pb2
from trackside_serving.errors import (
    InvalidFieldError,
    MalformedMessageError,
    ServiceError,
    Violation,
)

_WAITING_BATCHES: Final = 256
_WAITING_BYTES: Final = 16 << 20
_RUN_ID: Final = re.compile(r"[0-9abcdefghjkmnpqrstvwxyz]{16}")
_PRODUCER_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
_LARGEST_NUMBER: Final = (1 << 63) - 1

_ACKNOWLEDGEMENT: Final = 1

A = TypeVar("A")


@dataclass(slots=True, frozen=True)
class RawBatch(Generic[A]):
    """A batch as it came: a work for a committer."""

    key: BatchKey
    raw: bytes
    body: int
    """Where the batch's header ends and its contents begin; 0: parse the whole message."""
    admission: A
    """What the service wants to remember of why it was let in."""


class IngestStream(Generic[A]):
    """One producer's connection. Iterate `responses` once."""

    def __init__(
        self,
        requests: AsyncIterator[bytes],
        *,
        admit: Callable[[str], Awaitable[A]],
        submit: Callable[[Ticket[RawBatch[A]]], None],
    ) -> None:
        self._requests = requests
        self._admit = admit
        self._submit = submit
        self._wake = asyncio.Event()
        self._room = asyncio.Event()
        self._waiting = 0
        self._waiting_bytes = 0
        self._progress: dict[tuple[str, str, int], list[int]] = {}
        self._pushed: list[bytes] = []
        self._error: BaseException | None = None
        self._exhausted = False

    def push(self, response: bytes) -> None:
        """Send a response of another kind, such as a control request."""
        self._pushed.append(response)
        self._wake.set()

    async def responses(self) -> AsyncIterator[bytes]:
        """Yield encoded responses until the producer has closed and everything is settled.

        Raises:
            ServiceError: A batch was refused. Batches acknowledged before stay stored.
        """
        reader = asyncio.create_task(self._read())
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                # More may become due while these are sent, and the end waits for that too.
                while due := self._due():
                    for response in due:
                        yield response
                if self._error is not None:
                    raise self._error
                if self._exhausted and not self._waiting:
                    return
        finally:
            await cancel(reader)

    async def _read(self) -> None:
        try:
            async with closing(self._requests) as requests:
                async for raw in requests:
                    await self._take(raw)
        except Exception as error:  # noqa: BLE001 - raised again where the stream is answered
            self._error = self._error or error
        self._exhausted = True
        self._wake.set()

    async def _take(self, raw: bytes) -> None:
        batch, body = parse_header(raw)
        while self._waiting >= _WAITING_BATCHES or self._waiting_bytes >= _WAITING_BYTES:
            self._room.clear()
            await self._room.wait()
        # Nothing is waited for from here to the queue: what is purged later is not in it.
        admission = await self._admit(batch.run_id)
        key = BatchKey(batch.run_id, batch.producer_id, batch.epoch, batch.sequence, crc32c(raw))
        size = len(raw)
        self._waiting += 1
        self._waiting_bytes += size
        self._submit(
            Ticket(
                RawBatch(key, raw, body, admission),
                lambda result: self._settle(key, size, result),
                size,
                sender=id(self),
            )
        )

    def _settle(self, key: BatchKey, size: int, result: object) -> None:
        self._waiting -= 1
        self._waiting_bytes -= size
        self._room.set()
        if isinstance(result, Stored):
            progress = self._progress.setdefault((key.run_id, key.producer_id, key.epoch), [0, 0])
            progress[0] = max(progress[0], result.through)
            progress[1] += result.duplicate
        elif isinstance(result, BaseException) and self._error is None:
            self._error = naming_batch(result, key)
        self._wake.set()

    def _due(self) -> list[bytes]:
        pushed, self._pushed = self._pushed, []
        progress, self._progress = self._progress, {}
        return pushed + [
            wire.bytes_field(
                _ACKNOWLEDGEMENT,
                batch_pb2.Acknowledgement(
                    run_id=run_id,
                    producer_id=producer_id,
                    epoch=epoch,
                    through_sequence=through,
                    duplicate_count=duplicates,
                ).SerializeToString(),
            )
            for (run_id, producer_id, epoch), (through, duplicates) in progress.items()
        ]


def parse_header(raw: bytes) -> tuple[batch_pb2.Batch, int]:
    """Return the header of a batch and where it ends.

    Raises:
        MalformedMessageError: The bytes are no message.
        InvalidFieldError: A field of the header is wrong.
    """
    leading = wire.leading_message(raw)
    try:
        if leading is not None:
            header, body = batch_pb2.Batch.FromString(leading[0]), leading[1]
        else:
            header, body = batch_pb2.HeaderOnly.FromString(raw).batch, 0
    except DecodeError as error:
        raise MalformedMessageError from error
    _validate_header(header)
    return header, body


def naming_batch(error: BaseException, key: BatchKey) -> BaseException:
    """Return the error by which a batch was refused, naming the batch.

    A new one: when a whole group fails, its batches share one error.
    """
    if not isinstance(error, ServiceError):
        return error
    named = type(error).__new__(type(error), *error.args)
    named.__dict__.update(error.__dict__)
    named.metadata = {
        "run_id": key.run_id,
        "producer_id": key.producer_id,
        "batch_sequence": str(key.sequence),
        **error.metadata,
    }
    named.__cause__ = error
    return named


def _validate_header(batch: batch_pb2.Batch) -> None:
    violations: list[Violation] = []
    if not _RUN_ID.fullmatch(batch.run_id):
        violations.append(Violation("batch.run_id", "not 16 characters of Crockford base32"))
    if not _PRODUCER_ID.fullmatch(batch.producer_id):
        violations.append(
            Violation("batch.producer_id", "not 1 to 64 letters, digits, '-', '_' or '.'")
        )
    if batch.epoch < 1:
        violations.append(Violation("batch.epoch", "below 1"))
    if not 1 <= batch.sequence < _LARGEST_NUMBER:
        violations.append(Violation("batch.sequence", "below 1"))
    if violations:
        message = "The header of the batch is wrong."
        raise InvalidFieldError(
            message,
            violations=violations,
            metadata={"batch_sequence": str(batch.sequence)},
        )
