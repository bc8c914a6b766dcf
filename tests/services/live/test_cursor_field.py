import pytest

from trackside_live.cursor_field import last_string
from trackside_protos.logs.v1.log_entry_pb2 import LogBlock, LogEntry
from trackside_protos.logs.v1.logs_service_pb2 import WatchLogsResponse
from trackside_protos.runs.v1.run_pb2 import Run
from trackside_protos.runs.v1.runs_service_pb2 import WatchRunResponse


def test_the_last_of_several_joined_responses_counts() -> None:
    entries = [LogEntry(message="cursor = 5" * 100)]
    parts = [
        WatchLogsResponse(blocks=[LogBlock(first_sequence=n, entries=entries)], cursor=f"c{n}")
        for n in (1, 2, 3)
    ]

    joined = b"".join(part.SerializeToString() for part in parts)

    assert last_string(joined, 2) == "c3"


def test_a_response_without_cursor_has_an_empty_one() -> None:
    response = WatchRunResponse(caught_up=True)
    response.snapshot.run.CopyFrom(Run(run_id="x", sequence=300))

    assert last_string(response.SerializeToString(), 3) == ""


def test_fields_of_every_wire_type_are_stepped_over() -> None:
    fixed32, fixed64 = b"\x2d\0\0\0\0", b"\x31" + b"\0" * 8

    assert last_string(fixed32 + fixed64 + b"\x38\x01" + b"\x1a\x01c", 3) == "c"


def test_bytes_that_are_cut_off_are_no_message() -> None:
    with pytest.raises(ValueError, match="varint"):
        last_string(b"\x80", 3)
