import io
import json
import logging
import threading
from collections.abc import Iterator

import pytest

from trackside_serving.log import configure_log


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    before, level, stream = list(root.handlers), root.level, io.StringIO()
    configure_log("INFO", stream)
    here = threading.get_ident()
    for handler in root.handlers:  # a thread that another test has left may say something, too
        handler.addFilter(lambda record: record.thread == here)
    yield stream
    root.handlers[:] = before
    root.setLevel(level)


def test_a_record_is_one_line_with_its_fields(log: io.StringIO) -> None:
    logging.getLogger("trackside").info("run ended", extra={"run_id": "r1", "count": 3})

    line = json.loads(log.getvalue())
    assert line.pop("time").endswith("+00:00")
    assert line == {
        "level": "INFO",
        "logger": "trackside",
        "message": "run ended",
        "run_id": "r1",
        "count": 3,
    }


def test_text_from_outside_cannot_forge_a_line(log: io.StringIO) -> None:
    forged = 'x\r\n{"level": "INFO"}\u2028\x00\x1b[2J'

    logging.getLogger().warning("name %s", forged, extra={"name_given": forged})

    [line] = log.getvalue().splitlines()
    assert line.isascii()
    assert line.isprintable()
    assert json.loads(line)["name_given"] == forged


def test_an_exception_is_a_field(log: io.StringIO) -> None:
    try:
        raise ValueError("no\nway")  # noqa: TRY301 - what is logged
    except ValueError:
        logging.getLogger().exception("failed")

    [line] = log.getvalue().splitlines()
    assert "ValueError: no\nway" in json.loads(line)["exception"]
