import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import pytest

from support.conditions import until
from support.journal import RUN
from trackside_journal import ingest, wire
from trackside_journal.checksums import crc32c
from trackside_journal.errors import BatchGapError, StoreUnavailableError
from trackside_journal.ingest import IngestStream, RawBatch, naming_batch, parse_header
from trackside_journal.producers import BatchKey, Stored
from trackside_journal.tasks import closing
from trackside_protos.producers.v1.batch_pb2 import Acknowledgement, Batch, HeaderOnly
from trackside_serving.errors import (
    InvalidFieldError,
    MalformedMessageError,
    RunNotFoundError,
    ServiceError,
)

if TYPE_CHECKING:
    from trackside_journal.committer import Ticket

BODY = wire.bytes_field(2, b"contents")
Submitted = list["Ticket[RawBatch[None]]"]


def message(sequence: int, *, run_id: str = RUN, producer_id: str = "p", epoch: int = 1) -> bytes:
    batch = Batch(run_id=run_id, producer_id=producer_id, epoch=epoch, sequence=sequence)
    return HeaderOnly(batch=batch).SerializeToString() + BODY


class Producer:
    """Sends messages on a stream, and writes down what comes back."""

    def __init__(self) -> None:
        self.submitted: list[Ticket[RawBatch[str]]] = []
        self.acknowledged: list[Acknowledgement] = []
        self.pulled = 0
        self._messages: asyncio.Queue[bytes | Exception | None] = asyncio.Queue()
        self.stream = IngestStream(
            self._requests(), admit=self._admit, submit=self.submitted.append
        )
        self._task = asyncio.create_task(self._listen())

    async def send(self, *messages: bytes | Exception | None) -> None:
        """Send messages; None closes the stream."""
        for one in messages:
            self._messages.put_nowait(one)
        await settle()

    async def settle(self, *results: object) -> None:
        """Settle the batches that wait longest, all at once as after a commit."""
        for result in results:
            self.submitted.pop(0).settle(result)
        await settle()

    @property
    def has_ended(self) -> bool:
        return self._task.done()

    async def end(self) -> None:
        """Wait for the end of the stream, and raise what it raises."""
        await self._task

    async def _listen(self) -> None:
        async with closing(self.stream.responses()) as responses:
            async for response in responses:
                self.acknowledged.append(Acknowledgement.FromString(inner(response)))

    async def _requests(self) -> AsyncIterator[bytes]:
        while (one := await self._messages.get()) is not None:
            if isinstance(one, Exception):
                raise one
            self.pulled += 1
            yield one

    async def _admit(self, run_id: str) -> str:
        if run_id != RUN:
            raise RunNotFoundError
        return f"admitted to {run_id}"


def inner(response: bytes) -> bytes:
    leading = wire.leading_message(response)
    assert leading is not None
    return leading[0]


async def of(*messages: bytes) -> AsyncIterator[bytes]:
    for one in messages:
        yield one


async def anyone(_: str) -> None:
    """Let in whoever reports."""


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


@pytest.fixture
async def producer() -> Producer:
    return Producer()


def stored(*throughs: int) -> list[Stored]:
    return [Stored(through, duplicate=False) for through in throughs]


async def test_batches_are_handed_over_as_they_came(producer: Producer) -> None:
    raw = message(7, producer_id="agent-1", epoch=3)

    await producer.send(raw)

    ticket = producer.submitted[0]
    assert ticket.size == len(raw)
    assert ticket.work.raw == raw
    assert ticket.work.raw[ticket.work.body :] == BODY
    assert ticket.work.admission == f"admitted to {RUN}"
    key = ticket.work.key
    assert (key.run_id, key.producer_id, key.epoch, key.sequence, key.checksum) == (
        RUN,
        "agent-1",
        3,
        7,
        crc32c(raw),
    )


async def test_a_batch_is_acknowledged_when_it_is_stored(producer: Producer) -> None:
    await producer.send(message(1))
    assert producer.acknowledged == []

    await producer.settle(*stored(1))

    assert producer.acknowledged == [
        Acknowledgement(run_id=RUN, producer_id="p", epoch=1, through_sequence=1)
    ]


async def test_acknowledgements_of_one_commit_are_one(producer: Producer) -> None:
    await producer.send(*(message(n) for n in range(1, 6)))

    await producer.settle(*stored(1, 2, 3), Stored(5, duplicate=True), Stored(4, duplicate=True))

    assert producer.acknowledged == [
        Acknowledgement(run_id=RUN, producer_id="p", epoch=1, through_sequence=5, duplicate_count=2)
    ]


async def test_each_producer_of_a_stream_is_acknowledged(producer: Producer) -> None:
    await producer.send(message(1), message(1, producer_id="q"), message(1, epoch=2))

    await producer.settle(*stored(1, 1, 1))

    found = {(ack.producer_id, ack.epoch) for ack in producer.acknowledged}
    assert found == {("p", 1), ("q", 1), ("p", 2)}


async def test_the_stream_ends_when_it_was_closed_and_everything_is_settled(
    producer: Producer,
) -> None:
    await producer.send(message(1), message(2), None)
    await producer.settle(*stored(1))
    assert not producer.has_ended

    await producer.settle(*stored(2))
    await producer.end()

    assert [ack.through_sequence for ack in producer.acknowledged] == [1, 2]


@pytest.fixture
async def sending() -> AsyncIterator[tuple[Submitted, AsyncIterator[bytes]]]:
    """Give a closed stream of three batches that is sending that the first of them is stored."""
    submitted: Submitted = []
    messages = of(message(1), message(2), message(3))
    stream = IngestStream(messages, admit=anyone, submit=submitted.append)
    async with closing(stream.responses()) as responses:
        first = asyncio.ensure_future(anext(responses))
        await settle()
        submitted.pop(0).settle(Stored(1, duplicate=False))
        await first
        yield submitted, responses


async def test_what_is_settled_while_a_response_is_sent_is_acknowledged_before_the_end(
    sending: tuple[Submitted, AsyncIterator[bytes]],
) -> None:
    (second, third), responses = sending

    second.settle(Stored(2, duplicate=False))
    third.settle(Stored(3, duplicate=False))

    rest = [Acknowledgement.FromString(inner(one)) async for one in responses]
    assert [ack.through_sequence for ack in rest] == [3]


async def test_what_is_stored_while_a_response_is_sent_is_acknowledged_before_a_refusal(
    sending: tuple[Submitted, AsyncIterator[bytes]],
) -> None:
    (second, third), responses = sending

    second.settle(Stored(2, duplicate=False))
    third.settle(RunNotFoundError())

    assert Acknowledgement.FromString(inner(await anext(responses))).through_sequence == 2
    with pytest.raises(RunNotFoundError):
        await anext(responses)


async def test_a_stream_without_batches_ends_at_once(producer: Producer) -> None:
    await producer.send(None)

    await producer.end()


async def test_a_refused_batch_ends_the_stream_and_is_named(producer: Producer) -> None:
    await producer.send(message(1), message(2), message(3))

    await producer.settle(*stored(1), RunNotFoundError())

    with pytest.raises(RunNotFoundError) as caught:
        await producer.end()
    assert caught.value.metadata["batch_sequence"] == "2"
    assert [ack.through_sequence for ack in producer.acknowledged] == [1]


async def test_a_batch_that_is_settled_after_the_end_disturbs_nobody(producer: Producer) -> None:
    await producer.send(message(1), message(2))
    await producer.settle(RunNotFoundError())

    await producer.settle(*stored(2))

    with pytest.raises(RunNotFoundError):
        await producer.end()


@pytest.mark.parametrize(
    ("raw", "field"),
    [
        (message(0), "batch.sequence"),
        (message(-1), "batch.sequence"),
        (message(2**63 - 1), "batch.sequence"),
        (message(1, epoch=0), "batch.epoch"),
        (message(1, epoch=-1), "batch.epoch"),
        (message(1, run_id="0123456789abcdeF"), "batch.run_id"),
        (message(1, run_id=RUN + "0"), "batch.run_id"),
        (message(1, run_id=RUN + "\n"), "batch.run_id"),
        (message(1, run_id=""), "batch.run_id"),
        (message(1, producer_id=""), "batch.producer_id"),
        (message(1, producer_id="p" * 65), "batch.producer_id"),
        (message(1, producer_id="a b"), "batch.producer_id"),
        (message(1, producer_id="é"), "batch.producer_id"),
    ],
)
async def test_a_wrong_header_ends_the_stream_and_names_the_field(
    producer: Producer, raw: bytes, field: str
) -> None:
    await producer.send(raw)

    with pytest.raises(InvalidFieldError) as caught:
        await producer.end()
    assert [violation.field for violation in caught.value.violations] == [field]
    assert "batch_sequence" in caught.value.metadata
    assert producer.submitted == []


def test_every_wrong_field_is_named() -> None:
    with pytest.raises(InvalidFieldError) as caught:
        parse_header(BODY)

    assert [violation.field for violation in caught.value.violations] == [
        "batch.run_id",
        "batch.producer_id",
        "batch.epoch",
        "batch.sequence",
    ]


@pytest.mark.parametrize(
    "raw", [b"\xff\xff\xff\xff", b"\x0a\x7f", b"\x0a\x03\x0a\x01\xff", b"\x0b"]
)
async def test_garbage_is_malformed(producer: Producer, raw: bytes) -> None:
    await producer.send(raw)

    with pytest.raises(MalformedMessageError):
        await producer.end()


def test_a_header_that_does_not_come_first_is_found() -> None:
    raw = BODY + message(5)[: -len(BODY)]

    batch, body = parse_header(raw)

    assert (batch.sequence, body) == (5, 0)


async def test_a_run_that_may_not_be_reported_to_ends_the_stream(producer: Producer) -> None:
    await producer.send(message(1), message(1, run_id="f" * 16))
    with pytest.raises(RunNotFoundError):
        await producer.end()

    assert len(producer.submitted) == 1


async def test_a_connection_that_breaks_ends_the_stream_with_its_error(
    producer: Producer,
) -> None:
    await producer.send(message(1), ConnectionResetError())

    with pytest.raises(ConnectionResetError):
        await producer.end()


async def test_what_one_stream_has_waiting_is_bounded_in_batches(producer: Producer) -> None:
    await producer.send(*(message(n) for n in range(1, 400)))
    await producer.send()
    await until(lambda: len(producer.submitted) == ingest._WAITING_BATCHES)

    assert producer.pulled == ingest._WAITING_BATCHES + 1
    assert len(producer.submitted) == ingest._WAITING_BATCHES

    await producer.settle(*stored(1, 2, 3))

    assert producer.pulled == ingest._WAITING_BATCHES + 4


async def test_what_one_stream_has_waiting_is_bounded_in_bytes(producer: Producer) -> None:
    large = bytes(6 << 20)
    await producer.send(*(message(n) + wire.bytes_field(3, large) for n in range(1, 9)))

    assert producer.pulled == 4
    assert len(producer.submitted) == 3


async def test_another_kind_of_response_may_be_sent_at_any_time(producer: Producer) -> None:
    pushed = wire.bytes_field(1, Acknowledgement(run_id="pushed").SerializeToString())

    producer.stream.push(pushed)
    await settle()

    assert producer.acknowledged == [Acknowledgement(run_id="pushed")]


async def test_a_stream_that_is_left_is_no_longer_read(producer: Producer) -> None:
    await producer.send(message(1))
    producer._task.cancel()
    await settle()

    await producer.send(message(2))

    assert producer.pulled == 1


def key(sequence: int) -> BatchKey:
    return BatchKey(RUN, "p", 1, sequence, 0)


def test_batches_that_fail_together_are_each_named_by_their_own_number() -> None:
    shared = StoreUnavailableError()

    errors = [naming_batch(shared, key(sequence)) for sequence in (1, 2)]

    assert [error.metadata for error in errors if isinstance(error, ServiceError)] == [
        {"run_id": RUN, "producer_id": "p", "batch_sequence": "1"},
        {"run_id": RUN, "producer_id": "p", "batch_sequence": "2"},
    ]
    assert all(isinstance(error, StoreUnavailableError) for error in errors)
    assert all(getattr(error, "retry_after", 0) == 1.0 for error in errors)
    assert shared.metadata == {}


def test_an_error_that_names_its_batch_keeps_name_and_facts() -> None:
    error = naming_batch(BatchGapError(sequence=9, expected=6), key(9))

    assert isinstance(error, BatchGapError)
    assert error.metadata["batch_sequence"] == "9"
    assert error.metadata["expected"] == "6"
    assert str(error) == "Batch 9 came, batch 6 is expected."


def test_an_error_that_is_a_bug_is_left_as_it_is() -> None:
    bug = ValueError("bug")

    assert naming_batch(bug, key(1)) is bug
