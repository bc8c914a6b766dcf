"""What a run tells while it goes on: points and log entries."""

from collections.abc import Mapping
from time import time_ns
from typing import Any, Final, cast

from trackside.capture.lines import Line
from trackside.capture.logging_tap import LoggedRecord, LoggingTap
from trackside.session.place import here
from trackside.session.recorder import LineDraft
from trackside.session.speaker import Speaker
from trackside.session.values import printable, sentence
from trackside_protos.logs.v1.log_entry_pb2 import LogLevel
from trackside_protos.runs.v1.report_pb2 import ProgressReport, RunReport

_PLAIN: Final = frozenset({float, int, bool})


class Narration(Speaker):
    """The face of a run by which its program tells how it goes."""

    _tap: LoggingTap | None = None

    def log(
        self,
        values: Mapping[str, Any] | None = None,
        /,
        *,
        step: int | None = None,
        context: Mapping[str, Any] | None = None,
        **named: object,
    ) -> None:
        """Add a point to each of these series.

        Without a step, each series counts its own, from 0. Series of one key are told apart by
        their context, for example `{"fold": 3}`.
        """
        now = time_ns()
        try:
            taken = named if values is None else {**values, **named}
            for value in taken.values():
                if value.__class__ not in _PLAIN:
                    taken = _numbers(taken)
                    break
            self._recorder.add_points((now, taken, step, context and dict(context)))
        except Exception as error:  # noqa: BLE001 - a metric must never end the work
            self.complain(f"log() got what it cannot take: {type(error).__name__}: {error}")

    def debug(self, message: object, /, **context: object) -> None:
        """Add a log entry of level DEBUG."""
        self._say(LogLevel.LOG_LEVEL_DEBUG, message, context)

    def info(self, message: object, /, **context: object) -> None:
        """Add a log entry of level INFO."""
        self._say(LogLevel.LOG_LEVEL_INFO, message, context)

    def warning(self, message: object, /, **context: object) -> None:
        """Add a log entry of level WARNING."""
        self._say(LogLevel.LOG_LEVEL_WARNING, message, context)

    def error(self, message: object, /, **context: object) -> None:
        """Add a log entry of level ERROR."""
        self._say(LogLevel.LOG_LEVEL_ERROR, message, context)

    def progress_message(self, message: str) -> None:
        """Say in one line what the run does now."""
        progress = ProgressReport(message=sentence(message))
        self._report(RunReport(progress=progress))

    # For this package.

    def tap_logging(self) -> None:
        """Take up what is said through `logging`."""
        echo = self._reporter.output.expect_echo if self._reporter is not None else None
        self._tap = LoggingTap(self._take_record, echo)

    def untap_logging(self) -> None:
        """Take up nothing more of it."""
        if self._tap is not None:
            self._tap.close()

    def _say(self, level: int, message: object, context: Mapping[str, Any]) -> None:
        place = here(self.run_id)
        line = Line(printable(str(message)))
        merged = {**place.context(), **context} if place.labels else context
        self._recorder.add_line(LineDraft(time_ns(), level, line, "log", place.task_id, merged))

    def _take_record(self, record: LoggedRecord) -> None:
        place = here(self.run_id)
        self._recorder.add_line(
            LineDraft(
                record.time_nanos,
                record.level,
                Line(printable(record.message)),
                "log",
                place.task_id,
                {**place.context(), **record.context},
                record.logger,
            )
        )


def _numbers(values: Mapping[str, object]) -> dict[str, float]:
    """Return the values as numbers now: a tensor may be another one when it is looked at later."""
    return {key: float(cast("float", value)) for key, value in values.items() if value is not None}
