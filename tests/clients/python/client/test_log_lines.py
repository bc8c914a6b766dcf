import pytest

from trackside.client.log_lines import chosen_levels, level_name, lines_of
from trackside_protos.logs.v1.log_entry_pb2 import LogBlock, LogEntry, LogLevel


def test_entries_of_a_block_are_numbered_from_its_first() -> None:
    block = LogBlock(first_sequence=5, entries=[LogEntry(message="a"), LogEntry(message="b")])

    assert [(line.sequence, line.message) for line in lines_of([block])] == [(5, "a"), (6, "b")]


def test_entries_that_a_filter_chose_keep_their_own_numbers() -> None:
    block = LogBlock(
        first_sequence=5, entries=[LogEntry(), LogEntry()], sequences=[5, 9], late=True
    )

    assert [(line.sequence, line.late) for line in lines_of([block])] == [(5, True), (9, True)]


def test_one_level_stands_for_all_above_it() -> None:
    assert [level_name(level) for level in chosen_levels("warning")] == [
        "WARNING",
        "ERROR",
        "CRITICAL",
    ]


def test_several_levels_stand_for_themselves() -> None:
    assert chosen_levels(["debug", "error"]) == [
        LogLevel.LOG_LEVEL_DEBUG,
        LogLevel.LOG_LEVEL_ERROR,
    ]


def test_no_level_chooses_all() -> None:
    assert chosen_levels("") == []


def test_a_level_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="LOUD"):
        chosen_levels("loud")


def test_a_level_of_a_newer_server_has_no_name() -> None:
    assert level_name(77) == ""
