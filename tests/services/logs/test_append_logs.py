import asyncio
import random
from typing import cast

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from support.conditions import until
from support.logs import (
    BOB,
    ON_SQLITE,
    RUN_ID,
    Logs,
    RunLogs,
    make_batch,
    make_entry,
    messages,
    numbered,
    sequences,
)
from trackside_journal.directory import DirectoryWork
from trackside_protos.logs.v1 import log_entry_pb2, logs_service_pb2
from trackside_protos.logs.v1.log_entry_pb2 import LogEntry
from trackside_serving.errors import (
    InvalidFieldError,
    MalformedMessageError,
    NotAllowedError,
    RunNotFoundError,
    ServiceError,
    TooManyItemsError,
)
from trackside_serving.identity import Caller, Role


def entry_of_level(level: int) -> LogEntry:
    entry = LogEntry()
    entry.level = cast("log_entry_pb2.LogLevel.ValueType", level)
    return entry


async def test_what_is_acknowledged_is_stored_in_order(logs: Logs) -> None:
    batches = [make_batch(n, [make_entry(f"{n}-{i}") for i in range(3)]) for n in (1, 2)]

    through = await logs.append(batches)

    assert through == 2
    assert messages(await logs.listed()) == ["1-0", "1-1", "1-2", "2-0", "2-1", "2-2"]
    assert sequences(await logs.stored()) == [1, 2, 3, 4, 5, 6]


async def test_a_block_says_who_sent_it_and_when_it_came(logs: Logs) -> None:
    await logs.append([make_batch(1, producer_id="agent.7")])

    block = (await logs.page()).blocks[0]

    assert block.producer_id == "agent.7"
    assert block.receive_time.seconds > 1_700_000_000
    assert not block.late


async def test_batches_sent_three_times_shuffled_over_two_connections_count_once(
    logs: Logs,
) -> None:
    shuffle = random.Random(7)  # noqa: S311 - a test's order, not a secret
    expected = [f"{n}-{i}" for n in range(1, 61) for i in range(n % 3 + 1)]

    for start in range(1, 61, 20):
        window = [
            make_batch(n, [make_entry(f"{n}-{i}") for i in range(n % 3 + 1)])
            for n in range(start, start + 20)
        ]
        sent = shuffle.sample(window * 3, 60)
        await asyncio.gather(logs.append(sent[::2]), logs.append(sent[1::2]))

    stored = await logs.stored()
    assert messages(stored) == expected
    assert sequences(stored) == list(range(1, len(expected) + 1))
    assert await logs.listed() == stored
    assert sum(ack.duplicate_count for ack in logs.acknowledged) == 120


async def test_producers_of_one_run_share_one_dense_sequence(logs: Logs) -> None:
    streams = [[make_batch(n, producer_id=f"p{p}") for n in range(1, 41)] for p in range(5)]

    await asyncio.gather(*(logs.append(stream) for stream in streams))

    assert sequences(await logs.stored()) == list(range(1, 201))


async def test_many_runs_are_kept_apart(logs: Logs) -> None:
    others = [f"{n:016d}" for n in range(20)]
    for run_id in others:
        await logs.directory.put(run_id)
    agent = Caller("agent", Role.AGENT)

    await logs.append([make_batch(1, [make_entry(r)], run_id=r) for r in others], agent)

    for run_id in others:
        page = await logs.page(logs_service_pb2.ListLogsRequest(run_id=run_id))
        assert messages(numbered(page.blocks)) == [run_id]


async def test_a_message_of_64_kib_is_taken_and_comes_back_whole(logs: Logs) -> None:
    long = "é" * 32_768

    await logs.append([make_batch(1, [make_entry(long)])])

    assert messages(await logs.listed()) == [long]


async def test_bytes_that_are_no_utf8_come_back_as_they_were_written(logs: Logs) -> None:
    entry = make_entry("caf\ufffd \x00 \x1b[31m")
    entry.original = b"caf\xe9 \x00 \x1b[31m"

    await logs.append([make_batch(1, [entry])])

    assert [stored for _, stored in await logs.listed()] == [entry]


async def test_a_batch_of_16_mib_is_stored_in_blocks_that_a_client_can_take(logs: Logs) -> None:
    entries = [make_entry(f"{i:05}" + "x" * 60_000) for i in range(200)]

    await logs.append([make_batch(1, entries)])

    pages = await logs.pages()
    assert max(page.ByteSize() for page in pages) < 4 << 20
    assert max(block.ByteSize() for page in pages for block in page.blocks) < 256 << 10
    assert [m[:5] for m in messages(await logs.listed())] == [f"{i:05}" for i in range(200)]


async def test_what_comes_after_the_seal_is_taken_and_marked_late(logs: Logs) -> None:
    await logs.append([make_batch(1)])
    await logs.directory.put(RUN_ID, sealed=True)
    await until(lambda: logs.is_sealed)

    await logs.append([make_batch(2)])

    page = await logs.page()
    assert [block.late for block in page.blocks] == [False, True]


async def test_what_is_stored_right_behind_the_seal_is_late(
    logs: Logs, monkeypatch: pytest.MonkeyPatch
) -> None:
    await logs.append([make_batch(1)])
    directory = logs.service.directory
    commit = directory._commit

    async def store_and_append(work: DirectoryWork) -> None:
        await commit(work)
        if any(entry.sealed for entry in work.entries):
            await logs.append([make_batch(2)])  # before anybody in this process hears of it

    monkeypatch.setattr(directory, "_commit", store_and_append)
    await logs.directory.put(RUN_ID, sealed=True)
    await until(lambda: logs.is_sealed)

    page = await logs.page()
    assert [block.late for block in page.blocks] == [False, True]


async def test_a_held_batch_is_not_acknowledged_before_the_gap_fills(logs: Logs) -> None:
    ahead = asyncio.create_task(logs.append([make_batch(2)]))
    await asyncio.sleep(0)

    await logs.append([make_batch(1)])
    await ahead

    assert messages(await logs.listed()) == ["line of batch 1", "line of batch 2"]


@ON_SQLITE
@pytest.mark.parametrize(
    ("wrong", "field", "description"),
    [
        (LogEntry(message="x" * 65_537), "message", "longer than 65536 bytes"),
        (LogEntry(message="é" * 32_769), "message", "longer than 65536 bytes"),
        (LogEntry(original=b"x" * 65_537), "original", "longer than 65536 bytes"),
        (entry_of_level(6), "level", "6 is no level"),
        (entry_of_level(-1), "level", "-1 is no level"),
        (LogEntry(stream="s" * 65), "stream", "longer than 64 characters"),
        (LogEntry(stream="a\nb"), "stream", "has control characters"),
        (LogEntry(task_id="t" * 129), "task_id", "longer than 128 characters"),
        (LogEntry(logger="l" * 257), "logger", "longer than 256 characters"),
        (LogEntry(context={str(n): "" for n in range(33)}), "context", "more than 32 keys"),
        (LogEntry(context={"": "x"}), "context", "a key is not 1 to 128 characters"),
        (LogEntry(context={"k" * 129: "x"}), "context", "a key is not 1 to 128 characters"),
        (LogEntry(context={"k": "v" * 4097}), "context", "a value is longer than 4096"),
        (LogEntry(time=Timestamp(seconds=253_402_300_800)), "time", "not a time of the years"),
        (LogEntry(time=Timestamp(nanos=-1)), "time", "not a time of the years"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_a_wrong_field_is_named_and_nothing_is_stored(
    logs: Logs, wrong: LogEntry, field: str, description: str
) -> None:
    with pytest.raises(InvalidFieldError) as caught:
        await logs.append([make_batch(1), make_batch(2, [make_entry(), wrong, make_entry()])])

    assert caught.value.violations[0].field == f"entries[1].{field}"
    assert description in caught.value.violations[0].description
    assert caught.value.metadata["batch_sequence"] == "2"
    assert messages(await logs.listed()) == ["line of batch 1"]
    assert await logs.append([make_batch(2)]) == 2, "the number of a refused batch stays free"


@ON_SQLITE
@pytest.mark.parametrize(
    ("raw", "error"),
    [
        (make_batch(1, []), InvalidFieldError),
        (make_batch(1, [make_entry()] * 10_001), TooManyItemsError),
        (make_batch(1) + b"\x12\x00" * 600_000, TooManyItemsError),
        (make_batch(1) + b"\x12\xff", MalformedMessageError),
        (make_batch(1) + b"\x12\x03\x1a\x01\xff", MalformedMessageError),
        (make_batch(1)[:-1], MalformedMessageError),
        (b"\xff\xff\xff\xff", MalformedMessageError),
        (b"", InvalidFieldError),
        (make_batch(0), InvalidFieldError),
        (make_batch(1, producer_id="a/b"), InvalidFieldError),
        (make_batch(1, epoch=0), InvalidFieldError),
        (make_batch(1, run_id="short"), InvalidFieldError),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else "",
)
async def test_what_is_no_batch_is_refused(
    logs: Logs, raw: bytes, error: type[ServiceError]
) -> None:
    with pytest.raises(error):
        await logs.append([raw])

    assert await logs.listed() == []


async def test_fields_unknown_to_us_beside_the_entries_are_dropped(logs: Logs) -> None:
    foreign = logs_service_pb2.AppendLogsRequest.FromString(make_batch(1)).SerializeToString()
    receive_time = b"\x1a\x02\x08\x07"  # field 3: of a block it would be the receive time
    late = b"\x28\x01"

    await logs.append([foreign + receive_time + late])

    block = (await logs.page()).blocks[0]
    assert block.receive_time.seconds != 7
    assert not block.late


async def test_a_batch_whose_header_comes_last_is_taken(logs: Logs) -> None:
    request = logs_service_pb2.AppendLogsRequest.FromString(make_batch(1))
    header = logs_service_pb2.AppendLogsRequest(batch=request.batch).SerializeToString()
    raw = request.SerializeToString()[len(header) :] + header

    await logs.append([raw])

    assert messages(await logs.listed()) == ["line of batch 1"]


@ON_SQLITE
@pytest.mark.parametrize(
    ("caller", "error"),
    [
        (BOB, RunNotFoundError),
        (Caller("other", Role.REPORTER, run_ids=frozenset({"1" * 16})), RunNotFoundError),
        (Caller("eve", Role.USER, projects=frozenset({"default"})), NotAllowedError),
        (Caller("svc", Role.SERVICE), NotAllowedError),
    ],
    ids=["stranger", "reporter of another run", "member", "service"],
)
async def test_who_may_not_report_is_refused(
    logs: Logs, caller: Caller, error: type[ServiceError]
) -> None:
    with pytest.raises(error):
        await logs.append([make_batch(1)], caller)

    assert await logs.listed() == []


async def test_an_unknown_run_is_not_found(logs: Logs) -> None:
    with pytest.raises(RunNotFoundError):
        await logs.append([make_batch(1, run_id="9" * 16)], Caller("root", Role.ADMIN))


async def test_a_later_epoch_begins_anew_and_fences_the_earlier_one(logs: Logs) -> None:
    largest = (1 << 62) + 1
    await logs.append([make_batch(1, epoch=1), make_batch(1, epoch=largest)])

    with pytest.raises(ServiceError) as caught:
        await logs.append([make_batch(2, epoch=1)])

    assert caught.value.reason == "STALE_EPOCH"
    assert len(await logs.listed()) == 2


async def test_the_same_number_with_other_bytes_is_a_conflict(logs: Logs) -> None:
    await logs.append([make_batch(1)])

    with pytest.raises(ServiceError) as caught:
        await logs.append([make_batch(1, [make_entry("other")])])

    assert caught.value.reason == "BATCH_CONFLICT"
    assert caught.value.metadata["batch_sequence"] == "1"


async def test_everything_is_there_after_a_restart_and_nothing_twice(run_logs: RunLogs) -> None:
    async with run_logs() as logs:
        await logs.append([make_batch(n) for n in range(1, 11)])
        before = await logs.stored()

    async with run_logs() as logs:
        await logs.append([make_batch(n) for n in range(1, 12)])

        assert (await logs.stored())[:-1] == before
        assert messages(await logs.listed()) == [f"line of batch {n}" for n in range(1, 12)]
