import pytest
from sqlalchemy import update

from support.logs import (
    BOB,
    ON_SQLITE,
    Logs,
    make_batch,
    make_entry,
    messages,
    numbered,
    sequences,
)
from trackside_journal.errors import ChunkCorruptError
from trackside_logs.tables import CHUNK
from trackside_protos.logs.v1 import log_entry_pb2
from trackside_protos.logs.v1.logs_service_pb2 import ListLogsRequest, LogFilter
from trackside_serving.errors import (
    InvalidFieldError,
    InvalidPageTokenError,
    RunNotFoundError,
    ServiceError,
)
from trackside_serving.identity import Caller, Role

ERROR = log_entry_pb2.LOG_LEVEL_ERROR


async def fill(logs: Logs, batches: int = 12, lines: int = 10) -> None:
    """Store numbered lines; every seventh is an error."""
    for n in range(batches):
        entries = [
            make_entry(
                f"line {i}",
                level=ERROR if i % 7 == 0 else log_entry_pb2.LOG_LEVEL_INFO,
                seconds=1000 + i,
            )
            for i in range(n * lines + 1, (n + 1) * lines + 1)
        ]
        await logs.append([make_batch(n + 1, entries)])


def damage(logs: Logs, first_sequence: int) -> None:
    """Replace the contents of the stored chunk that begins with a sequence."""

    changed = update(CHUNK).where(CHUNK.c.first_sequence == first_sequence)
    with logs.service.database.writing() as connection:
        connection.execute(changed.values(blob=b"x" * 99))


@pytest.mark.parametrize("size", [1, 7, 10, 33, 120, 1000])
async def test_pages_of_any_size_make_up_the_whole(logs: Logs, size: int) -> None:
    await fill(logs)

    pages = await logs.pages(ListLogsRequest(page_size=size))

    assert sequences([pair for page in pages for pair in numbered(page.blocks)]) == [*range(1, 121)]
    assert all(len(numbered(page.blocks)) == size for page in pages[:-1])
    assert {page.latest_sequence for page in pages} == {120}


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (ListLogsRequest(after_sequence=115), range(116, 121)),
        (ListLogsRequest(through_sequence=5), range(1, 6)),
        (ListLogsRequest(after_sequence=17, through_sequence=34), range(18, 35)),
        (ListLogsRequest(after_sequence=17, through_sequence=18), range(18, 19)),
        (ListLogsRequest(after_sequence=18, through_sequence=18), range(0)),
        (ListLogsRequest(after_sequence=120), range(0)),
        (ListLogsRequest(after_sequence=1 << 62), range(0)),
        (ListLogsRequest(through_sequence=1 << 62, after_sequence=118), range(119, 121)),
        (ListLogsRequest(last=1), range(120, 121)),
        (ListLogsRequest(last=33), range(88, 121)),
        (ListLogsRequest(last=1000), range(1, 121)),
        (ListLogsRequest(last=5, through_sequence=52), range(48, 53)),
        (ListLogsRequest(last=50, after_sequence=90), range(91, 121)),
        (ListLogsRequest(last=2, filter=LogFilter(levels=[ERROR])), [112, 119]),
        (ListLogsRequest(last=2, filter=LogFilter(levels=[ERROR]), after_sequence=113), [119]),
        (ListLogsRequest(filter=LogFilter(text="LINE 11")), [11, *range(110, 120)]),
    ],
    ids=str,
)
async def test_a_listing_has_exactly_what_was_asked_for(
    logs: Logs, request_: ListLogsRequest, expected: list[int] | range
) -> None:
    await fill(logs)

    assert sequences(await logs.listed(request_)) == list(expected)


async def test_a_run_without_entries_has_an_empty_listing(logs: Logs) -> None:
    assert await logs.listed() == []
    assert await logs.listed(ListLogsRequest(last=10)) == []
    assert (await logs.page()).latest_sequence == 0


async def test_the_latest_entries_that_fit_on_no_page_go_on_backward(logs: Logs) -> None:
    entries = [make_entry(f"{i:04}" + "x" * 9000) for i in range(1000)]
    await logs.append([make_batch(n + 1, entries[n * 100 : n * 100 + 100]) for n in range(10)])

    pages = await logs.pages(ListLogsRequest(last=700))

    assert len(pages) > 1
    assert max(page.ByteSize() for page in pages) < 4 << 20
    inverted = [numbered(page.blocks) for page in reversed(pages)]
    assert sequences([pair for page in inverted for pair in page]) == list(range(301, 1001))


async def test_a_selective_filter_has_short_pages_and_finds_everything(logs: Logs) -> None:
    filler = "y" * 500
    for n in range(20):
        entries = [make_entry(f"{n}.{i} {filler}") for i in range(1000)]
        await logs.append([make_batch(n + 1, entries)])

    request = ListLogsRequest(filter=LogFilter(text=".777 y"))
    pages = await logs.pages(request)

    assert len(pages) > 1
    found = [pair for page in pages for pair in numbered(page.blocks)]
    assert [message.split()[0] for message in messages(found)] == [f"{n}.777" for n in range(20)]


@ON_SQLITE
@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (ListLogsRequest(after_sequence=-1), "after_sequence"),
        (ListLogsRequest(through_sequence=-1), "through_sequence"),
        (ListLogsRequest(last=-1), "last"),
        (ListLogsRequest(last=10_001), "last"),
        (ListLogsRequest(page_size=-1), "page_size"),
        (ListLogsRequest(page_size=10_001), "page_size"),
        (ListLogsRequest(run_id="../../etc/passwd"), "run_id"),
        (ListLogsRequest(filter=LogFilter(text="x" * 1025)), "filter.text"),
        (ListLogsRequest(filter=LogFilter(task_id="x" * 129)), "filter.task_id"),
        (ListLogsRequest(filter=LogFilter(streams=["x"] * 101)), "filter.streams"),
        (
            ListLogsRequest(filter=LogFilter(context={str(n): "" for n in range(101)})),
            "filter.context",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_a_wrong_field_is_named(logs: Logs, request_: ListLogsRequest, field: str) -> None:
    with pytest.raises(InvalidFieldError) as caught:
        await logs.page(request_)

    assert [violation.field for violation in caught.value.violations] == [field]


@ON_SQLITE
async def test_a_level_that_does_not_exist_is_named(logs: Logs) -> None:
    wrong = ListLogsRequest(filter=LogFilter.FromString(b"\x0a\x02\x01\x63"))

    with pytest.raises(InvalidFieldError) as caught:
        await logs.page(wrong)

    assert caught.value.violations[0].field == "filter.levels[1]"


@ON_SQLITE
@pytest.mark.parametrize(
    "change",
    [
        ListLogsRequest(run_id="1" * 16),
        ListLogsRequest(filter=LogFilter(text="other")),
        ListLogsRequest(after_sequence=1),
        ListLogsRequest(last=3),
    ],
    ids=["run", "filter", "range", "last"],
)
async def test_a_token_of_another_request_is_refused(logs: Logs, change: ListLogsRequest) -> None:
    await fill(logs)
    await logs.directory.put("1" * 16)
    token = (await logs.page(ListLogsRequest(page_size=10))).next_page_token

    request = ListLogsRequest(page_token=token)
    request.MergeFrom(change)
    with pytest.raises(InvalidPageTokenError):
        await logs.page(request)


@ON_SQLITE
@pytest.mark.parametrize("token", ["x", "é", "A" * 60, "A" * 10_000, "=", "-_-_"])
async def test_a_token_that_is_none_is_refused(logs: Logs, token: str) -> None:
    with pytest.raises(InvalidPageTokenError):
        await logs.page(ListLogsRequest(page_token=token))


@ON_SQLITE
async def test_a_token_with_one_bit_changed_is_refused(logs: Logs) -> None:
    await fill(logs)
    token = (await logs.page(ListLogsRequest(page_size=10))).next_page_token

    for index, character in enumerate(token[:-1]):
        changed = token[:index] + ("A" if character != "A" else "B") + token[index + 1 :]
        with pytest.raises(InvalidPageTokenError):
            await logs.page(ListLogsRequest(page_token=changed))


async def test_a_run_that_the_caller_may_not_see_is_not_found(logs: Logs) -> None:
    await fill(logs, 1)

    for caller in (BOB, Caller("x", Role.REPORTER, run_ids=frozenset({"1" * 16}))):
        with pytest.raises(RunNotFoundError) as hidden:
            await logs.page(caller=caller)
        with pytest.raises(RunNotFoundError) as absent:
            await logs.page(ListLogsRequest(run_id="9" * 16), caller)
        assert str(hidden.value) == str(absent.value)


async def test_members_of_the_project_and_admins_see_a_run(logs: Logs) -> None:
    await fill(logs, 1)

    for caller in (
        Caller("eve", Role.VIEWER, projects=frozenset({"default"})),
        Caller("root", Role.ADMIN),
        Caller("live", Role.SERVICE),
    ):
        assert (await logs.page(caller=caller)).latest_sequence == 10


async def test_a_damaged_chunk_is_data_loss_for_its_range_and_no_other(logs: Logs) -> None:
    await fill(logs)
    damage(logs, 51)

    before = await logs.page()
    with pytest.raises(ChunkCorruptError) as caught:
        await logs.page(ListLogsRequest(page_token=before.next_page_token))
    after = await logs.page(ListLogsRequest(after_sequence=60))

    assert sequences(numbered(before.blocks)) == list(range(1, 51))
    assert caught.value.metadata == {"first_sequence": "51", "last_sequence": "60"}
    assert sequences(numbered(after.blocks)) == list(range(61, 121))


async def test_the_latest_entries_end_at_a_damaged_chunk(logs: Logs) -> None:
    await fill(logs)
    damage(logs, 51)

    request = ListLogsRequest(last=100)
    page = await logs.page(request)
    request.page_token = page.next_page_token
    with pytest.raises(ChunkCorruptError):
        await logs.page(request)

    assert sequences(numbered(page.blocks)) == list(range(61, 121))


@pytest.mark.parametrize("columns", [{"codec": 77}, {"checksum": 1}, {"blob": b""}], ids=str)
async def test_any_damage_of_a_row_is_noticed(logs: Logs, columns: dict[str, object]) -> None:
    await fill(logs, 1)
    with logs.service.database.writing() as connection:
        connection.execute(update(CHUNK).values(columns))

    with pytest.raises(ServiceError) as caught:
        await logs.page()

    assert caught.value.reason == "CHUNK_CORRUPT"


async def test_a_missing_chunk_is_data_loss_not_a_gap(logs: Logs) -> None:
    await fill(logs, 3)
    with logs.service.database.writing() as connection:
        connection.execute(CHUNK.delete().where(CHUNK.c.first_sequence == 11))

    page = await logs.page()
    with pytest.raises(ChunkCorruptError) as caught:
        await logs.page(ListLogsRequest(page_token=page.next_page_token))

    assert sequences(numbered(page.blocks)) == list(range(1, 11))
    assert caught.value.metadata == {"first_sequence": "11", "last_sequence": "20"}
