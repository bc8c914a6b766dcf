"""The server's own log: one JSON object a line, so that no text from outside can forge a line."""

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Final, TextIO

from typing_extensions import override

_ORDINARY: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_LONGEST_FIELD: Final = 4096


class JsonFormatter(logging.Formatter):
    """Writes a record as one line of ASCII JSON: time, level, logger, message, its fields."""

    @override
    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        for name, value in vars(record).items():
            if name not in _ORDINARY:
                line[name] = (
                    value if isinstance(value, int | float) else str(value)[:_LONGEST_FIELD]
                )
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line)


def configure_log(level: str, destination: TextIO | logging.Handler | None = None) -> None:
    """Send every record of this process to a stream (standard error) or handler, as JSON lines."""
    if isinstance(destination, logging.Handler):
        handler = destination
    else:
        handler = logging.StreamHandler(destination or sys.stderr)
    handler.setFormatter(JsonFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
