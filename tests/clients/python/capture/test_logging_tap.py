import logging
import subprocess
import sys
from collections.abc import Iterator

import pytest

from trackside.capture.logging_tap import LoggedRecord, LoggingTap, RecordHandler


@pytest.fixture
def records() -> Iterator[list[LoggedRecord]]:
    taken: list[LoggedRecord] = []
    tap = LoggingTap(taken.append)
    yield taken
    tap.close()


def test_records_are_taken_with_their_extra(records: list[LoggedRecord]) -> None:
    logging.getLogger("a.b").error("so %d", 7, extra={"fold": 3})

    (record,) = records
    assert (record.message, record.level, record.logger) == ("so 7", 4, "a.b")
    assert record.context == {"fold": "3"}


def test_levels_between_are_the_one_below(records: list[LoggedRecord]) -> None:
    logger = logging.getLogger("levels")
    logger.setLevel(1)

    for level in (5, 10, 20, 25, 30, 45, 60):
        logger.log(level, "x")

    assert [record.level for record in records] == [1, 1, 2, 2, 3, 4, 5]


def test_loggers_that_do_not_propagate_are_left_alone(records: list[LoggedRecord]) -> None:
    logger = logging.getLogger("private")
    logger.propagate = False

    logger.error("x")

    assert records == []


def test_the_newest_tap_takes_the_records(records: list[LoggedRecord]) -> None:
    inner: list[LoggedRecord] = []
    tap = LoggingTap(inner.append)

    logging.getLogger("x").error("inner")
    tap.close()
    logging.getLogger("x").error("outer")

    assert [record.message for record in inner] == ["inner"]
    assert [record.message for record in records] == ["outer"]


def test_a_traceback_is_part_of_the_message(records: list[LoggedRecord]) -> None:
    try:
        _ = 1 / 0
    except ZeroDivisionError:
        logging.getLogger("x").exception("failed")

    assert records[0].message.startswith("failed\nTraceback")


def test_a_record_that_cannot_be_formatted_is_the_programs_own_affair(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(logging, "raiseExceptions", False)
    handler = logging.StreamHandler(sys.stderr)
    logging.getLogger().addHandler(handler)
    tap = LoggingTap(lambda _: None, lambda _stream, _text: None)

    logging.getLogger("x").error("%d", "no number")

    tap.close()
    logging.getLogger().removeHandler(handler)


def test_the_handler_can_be_added_by_hand() -> None:
    taken: list[LoggedRecord] = []
    logger = logging.getLogger("by.hand")
    handler = RecordHandler(taken.append, level=logging.ERROR)
    logger.addHandler(handler)

    logger.warning("no")
    logger.error("yes")

    logger.removeHandler(handler)
    assert [record.message for record in taken] == ["yes"]


def test_what_a_program_configures_and_what_it_does_not_stays_as_it_is() -> None:
    source = """
import logging
from trackside.capture.logging_tap import LoggingTap
tap = LoggingTap(lambda record: None)
logging.warning("before")
logging.getLogger().handlers.clear()
logging.getLogger("x").warning("without configuration")
logging.basicConfig(format="ours: %(message)s")
logging.warning("configured")
"""
    ended = subprocess.run(  # noqa: S603 - the test's own words
        [sys.executable, "-c", source], capture_output=True, check=True, text=True
    )

    assert ended.stderr.splitlines()[-2:] == ["without configuration", "ours: configured"]
