"""Scopes: named counters inside a run, which nest."""

import time
from collections.abc import Mapping
from dataclasses import replace
from types import TracebackType
from typing import Any, Final, Self

from typing_extensions import override

from trackside.session.failure import FailurePlace
from trackside.session.place import Labelled, Visit, here
from trackside.session.recorder import Recorder
from trackside.session.values import printable, texts_of
from trackside_protos.runs.v1 import scope_pb2
from trackside_protos.runs.v1.report_pb2 import RunReport

_LONGEST_MESSAGE: Final = 1_024


class Scope(Labelled):
    """A counter such as fold 3/5; a context manager, or used by itself.

    Log entries and tasks inside carry its present item as context, for example `fold=3`.
    """

    def __init__(
        self,
        recorder: Recorder,
        failures: FailurePlace,
        run_id: str,
        name: str,
        report: scope_pb2.Scope,
    ) -> None:
        """Begin at nothing; made by `Run.scope`, not by users."""
        outer = here(run_id)
        self.name = printable(name.replace("/", "_")) or "scope"
        """Its own name."""
        self._recorder = recorder
        self._failures = failures
        self._report = report
        self._report.path = "/".join(filter(None, (outer.scope_path, self.name)))
        self._report.start_time.GetCurrentTime()
        place = replace(outer, scope_path=self._report.path, labels=(*outer.labels, self))
        self._visit = Visit(place)
        self._touch()

    @property
    def path(self) -> str:
        """Its name behind those of the scopes around it."""
        return self._report.path

    @property
    def completed(self) -> int:
        """How many items have ended."""
        return self._report.completed_count

    def advance(self, count: int = 1, *, message: str | None = None) -> None:
        """Say that items have ended, and what is done next."""
        self.update(completed=self._report.completed_count + count, message=message)

    def update(
        self, *, completed: int | None = None, total: int | None = None, message: str | None = None
    ) -> None:
        """Say how many items have ended, how many there are, what is done now."""
        if completed is not None:
            self._report.completed_count = max(0, completed)
        if total is not None:
            self._report.total_count = max(0, total)
        if message is not None:
            self._report.message = printable(message)[:_LONGEST_MESSAGE]
        self._touch()

    def end(self) -> None:
        """Say that it is over; later calls change nothing."""
        if not self._report.HasField("end_time"):
            self._report.end_time.GetCurrentTime()
            self._touch()

    def __enter__(self) -> Self:
        self._visit.enter()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._failures.note(error, self._visit.place)
        self._visit.leave()
        self.end()

    @override
    def labels(self) -> dict[str, str]:
        item = self._report.completed_count + 1
        if self._report.HasField("total_count"):
            item = min(item, max(1, self._report.total_count))
        return {self.name: str(item), **self._report.context}

    def snapshot(self) -> RunReport:
        """Return the report on its present state."""
        report = RunReport(scope=self._report)
        report.time.FromNanoseconds(time.time_ns())
        return report

    def _touch(self) -> None:
        self._recorder.touch(self)


def new_scope(
    total: int | None, unit: str, message: str, context: Mapping[str, Any] | None
) -> scope_pb2.Scope:
    """Return the report of a scope at nothing."""
    report = scope_pb2.Scope(
        unit=printable(unit),
        message=printable(message)[:_LONGEST_MESSAGE],
        context=texts_of(context),
    )
    if total is not None:
        report.total_count = max(0, total)
    return report
