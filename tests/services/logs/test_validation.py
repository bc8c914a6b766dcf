from typing import cast

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from support.logs import make_batch, make_entry
from trackside_logs import validation
from trackside_logs.validation import examine
from trackside_protos.logs.v1 import log_entry_pb2
from trackside_protos.logs.v1.log_entry_pb2 import LogBlock, LogEntry
from trackside_protos.logs.v1.logs_service_pb2 import AppendLogsRequest
from trackside_serving.errors import InvalidFieldError

UNSPECIFIED = log_entry_pb2.LOG_LEVEL_UNSPECIFIED
DEBUG = log_entry_pb2.LOG_LEVEL_DEBUG
ERROR = log_entry_pb2.LOG_LEVEL_ERROR
SIZES = st.sampled_from([0, 1, 63, 64, 65, 128, 129, 256, 257, 4096, 4097, 65_536, 65_537])


@st.composite
def entries(draw: st.DrawFn) -> LogEntry:
    """Draw entries of which most are right and some are just wrong."""
    entry = LogEntry()
    field = draw(st.sampled_from(["", "message", "stream", "task_id", "logger", "original"]))
    size = draw(SIZES)
    if field:
        setattr(entry, field, b"x" * size if field == "original" else "x" * size)
    if draw(st.booleans()):
        entry.stream = draw(st.sampled_from(["ok", "a\tb", "\x9f", "é"]))
    entry.level = cast("log_entry_pb2.LogLevel.ValueType", draw(st.sampled_from([0, 1, 5, 6, -1])))
    keys = draw(st.sampled_from([0, 2, 32, 33]))
    prefix = draw(st.sampled_from(["", "k" * 126]))
    entry.context.update({f"{prefix}{n}": "v" for n in range(keys)})
    if draw(st.booleans()):
        seconds = [0, 1, -62_135_596_800, -62_135_596_801, 253_402_300_799, 253_402_300_800]
        entry.time.seconds = draw(st.sampled_from(seconds))
        entry.time.nanos = draw(st.sampled_from([0, 999_999_999, -1, 1_000_000_000]))
    return entry


@given(st.lists(entries(), min_size=1, max_size=4))
@example([LogEntry(context={str(n): "" for n in range(k, k + 20)}) for k in (0, 20)])
def test_batches_are_judged_alike_by_columns_and_by_entries(given_entries: list[LogEntry]) -> None:
    raw = make_batch(1, given_entries)
    body = raw[2 + raw[1] :]
    faults = [
        f"entries[{index}].{field}"
        for index, entry in enumerate(given_entries)
        for field, _ in validation._faults(entry)
    ]

    if faults:
        with pytest.raises(InvalidFieldError) as caught:
            examine(raw, 2 + raw[1])
        assert [violation.field for violation in caught.value.violations] == faults[:8]
    else:
        assert examine(raw, 2 + raw[1]).body == body


@given(st.lists(st.sampled_from([None, -5, 0, 7]), min_size=1, max_size=4))
def test_the_range_of_times_is_that_of_the_entries_which_have_one(
    seconds: list[int | None],
) -> None:
    batch: list[LogEntry] = []
    for second in seconds:
        entry = LogEntry()
        if second is not None:
            entry.time.seconds = second
        batch.append(entry)

    traits = examine(AppendLogsRequest(entries=batch).SerializeToString(), 0)

    known = [second for second in seconds if second is not None]
    expected = (min(known), max(known)) if known else (None, None)
    assert (traits.earliest, traits.latest) == expected


def test_levels_are_kept_as_bits() -> None:
    batch = [make_entry(level=level) for level in (UNSPECIFIED, DEBUG, ERROR)]

    traits = examine(AppendLogsRequest(entries=batch).SerializeToString(), 0)

    assert traits.levels == 0b10011


def test_fields_that_later_versions_add_to_an_entry_are_kept() -> None:
    unknown = b"\xf2\x07\x03new"
    entry = make_entry().SerializeToString() + unknown
    raw = make_batch(1, []) + b"\x12" + bytes([len(entry)]) + entry

    traits = examine(raw, 2 + raw[1])

    assert unknown in LogBlock.FromString(traits.body).entries[0].SerializeToString()
