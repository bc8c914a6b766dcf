import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.logs import make_entry, numbered, sequences
from trackside_logs.blocks import Origin, Part, Wanted, encode_parts
from trackside_logs.filters import _FOLDS_TO_ASCII, read_filter
from trackside_logs.listing import choose
from trackside_logs.validation import examine
from trackside_protos.logs.v1.log_entry_pb2 import LogEntry
from trackside_protos.logs.v1.logs_service_pb2 import (
    AppendLogsRequest,
    LogFilter,
    WatchLogsResponse,
)

LONG_S = "\N{LATIN SMALL LETTER LONG S}"
ODD = f"ßΣς{LONG_S}\N{KELVIN SIGN}\N{LATIN SMALL LIGATURE FI}"
TEXTS = st.text(alphabet=f"aAkKsSfi {ODD}", max_size=6)
LEVELS = st.integers(0, 5)
STREAMS = st.sampled_from(["", "stdout", "stderr", "log"])
TASKS = st.sampled_from(["", "t1", "t2"])
CONTEXTS = st.dictionaries(st.sampled_from(["fold", "branch"]), st.sampled_from(["", "1", "2"]))
SECONDS = st.integers(-2, 3)


@st.composite
def entries(draw: st.DrawFn) -> LogEntry:
    entry = LogEntry(
        message=draw(TEXTS),
        stream=draw(STREAMS),
        task_id=draw(TASKS),
        context=draw(CONTEXTS),
    )
    entry.level = draw(LEVELS)  # pyright: ignore[reportAttributeAccessIssue] - a number of an enum
    if draw(st.booleans()):
        entry.time.seconds = draw(SECONDS)
        entry.time.nanos = draw(st.sampled_from([0, 1, 999_999_999]))
    return entry


@st.composite
def filters(draw: st.DrawFn) -> LogFilter:
    wanted = LogFilter(
        streams=draw(st.lists(STREAMS, max_size=2)),
        task_id=draw(TASKS),
        context=draw(CONTEXTS),
        text=draw(TEXTS),
    )
    wanted.levels.extend(draw(st.lists(LEVELS, max_size=2)))  # pyright: ignore[reportArgumentType] - as above
    for field in ("start_time", "end_time"):
        if draw(st.booleans()):
            getattr(wanted, field).seconds = draw(SECONDS)
    return wanted


def is_wanted(entry: LogEntry, wanted: LogFilter) -> bool:
    """Say by brute force what the schema's comments promise."""
    time = entry.time.ToNanoseconds() if entry.HasField("time") else None
    start = wanted.start_time.ToNanoseconds() if wanted.HasField("start_time") else None
    end = wanted.end_time.ToNanoseconds() if wanted.HasField("end_time") else None
    return (
        (not wanted.levels or entry.level in wanted.levels)
        and (not wanted.streams or entry.stream in wanted.streams)
        and wanted.task_id in {"", entry.task_id}
        and all((k, v) in dict(entry.context).items() for k, v in wanted.context.items())
        and wanted.text.casefold() in entry.message.casefold()
        and (start is None or (time is not None and time >= start))
        and (end is None or (time is not None and time < end))
    )


def parts_of(given_entries: list[LogEntry]) -> list[Part]:
    request = AppendLogsRequest(entries=given_entries)
    request.batch.run_id = "r"
    traits = examine(request.SerializeToString(), 0)
    return list(encode_parts(1, traits, Origin(b"", "p", late=False)))


@given(
    st.lists(entries(), min_size=1, max_size=12), filters(), st.integers(0, 6), st.integers(0, 12)
)
def test_a_filter_leaves_what_brute_force_leaves(
    given_entries: list[LogEntry], message: LogFilter, after: int, length: int
) -> None:
    wanted = read_filter(message)
    limits = Wanted(after, after + length, wanted.tests)

    chosen = [choose(part, wanted, limits) for part in parts_of(given_entries)]

    content = b"".join(selection.content for selection in chosen)
    left = numbered(WatchLogsResponse.FromString(content).blocks)
    assert left == [
        (sequence, entry)
        for sequence, entry in enumerate(given_entries, 1)
        if after < sequence <= after + length and is_wanted(entry, message)
    ]
    assert sum(selection.count for selection in chosen) == len(left)


@given(st.lists(entries(), min_size=1, max_size=12), filters())
def test_what_stands_beside_a_chunk_never_hides_a_wanted_entry(
    given_entries: list[LogEntry], message: LogFilter
) -> None:
    request = AppendLogsRequest(entries=given_entries)
    request.batch.run_id = "r"
    traits = examine(request.SerializeToString(), 0)
    wanted = read_filter(message)

    for entry in given_entries:
        if is_wanted(entry, message):
            assert not wanted.levels or wanted.level_mask & traits.levels
            assert wanted.start is None or (traits.latest or 0) >= wanted.start[0]
            assert wanted.end is None or (traits.earliest or 0) <= wanted.end[0]


@given(st.lists(entries(), min_size=1, max_size=12), st.integers(1, 12), st.sampled_from([1, -1]))
def test_a_limit_takes_so_many_from_one_end(
    given_entries: list[LogEntry], limit: int, direction: int
) -> None:
    part = parts_of(given_entries)[0]

    selection = choose(
        part, read_filter(LogFilter()), Wanted(0, 99, (), limit, from_end=direction < 0)
    )

    every = list(range(1, len(given_entries) + 1))
    expected = every[-limit:] if direction < 0 else every[:limit]
    left = numbered(WatchLogsResponse.FromString(selection.content).blocks)
    assert sequences(left) == expected
    assert (selection.first, selection.last) == (expected[0], expected[-1])


@pytest.mark.exhaustive
def test_the_characters_that_fold_to_ascii_letters_are_all_known() -> None:
    found: dict[str, set[str]] = {}
    for code in range(128, 0x110000):
        for folded in set(chr(code).casefold()) & set(string.ascii_letters):
            found.setdefault(folded, set()).add(chr(code))

    assert {letter: set(known) for letter, known in _FOLDS_TO_ASCII.items()} == found


@pytest.mark.parametrize("text", ["straße", "STRASSE", f"{LONG_S}trasse", "Strasse"])
def test_text_is_found_in_any_case(text: str) -> None:
    parts = parts_of([make_entry("in der Straße"), make_entry("IN DER STRASSE")])
    wanted = read_filter(LogFilter(text=text))

    selection = choose(parts[0], wanted, Wanted(0, 9, wanted.tests))

    assert selection.count == 2
