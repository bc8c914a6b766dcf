"""Scopes: named counters inside a run, which nest."""

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import FrameType
from typing import Any, Final

from typing_extensions import override

from trackside.session.block import Block
from trackside.session.decorating import Arguments, Returned, decorated
from trackside.session.failure import FailurePlace
from trackside.session.place import Labelled, Visit, here
from trackside.session.recorder import Recorder
from trackside.session.values import one_line, sentence, texts_of, whole
from trackside_protos.runs.v1 import scope_pb2
from trackside_protos.runs.v1.report_pb2 import RunReport

_LONGEST_NAME: Final = 100


class Scope(Labelled, Block["Scope"]):
    """A counter such as fold 3/5; a context manager, sync and async, or used by itself.

    Log entries and tasks inside carry its present item as context, for example `fold=3`.
    As a decorator, of functions, coroutine functions and generator functions, it is opened by each
    call.
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
        self._pattern = scope_pb2.Scope()
        self._pattern.CopyFrom(report)
        self._is_pattern = False
        outer = here(run_id)
        self._run_id = run_id
        self.name: str = one_line(name.replace("/", "_"), _LONGEST_NAME) or "scope"
        """Its own name."""
        self._recorder = recorder
        self._failures = failures
        self._report = report
        self._report.path = "/".join(filter(None, (outer.scope_path, self.name)))
        self._report.start_time.GetCurrentTime()
        labels = (*outer.labels, self)
        place = replace(outer, scope_path=self._report.path, labels=labels, outer=outer)
        self._visit = Visit(place)
        self._touch()

    def __call__(self, function: Callable[Arguments, Returned], /) -> Callable[Arguments, Returned]:
        """Return the function such that each call of it opens such a scope."""
        self._is_pattern = True
        return decorated(function, self._again)

    def _again(self) -> "Scope":
        report = scope_pb2.Scope()
        report.CopyFrom(self._pattern)
        return Scope(self._recorder, self._failures, self._run_id, self.name, report)

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
        self.update(completed=self._report.completed_count + whole(count, 0), message=message)

    def update(
        self, *, completed: int | None = None, total: int | None = None, message: str | None = None
    ) -> None:
        """Say how many items have ended, how many there are, what is done now."""
        if completed is not None:
            self._report.completed_count = whole(completed, self._report.completed_count)
        if total is not None:
            self._report.total_count = whole(total, self._report.total_count)
        if message is not None:
            self._report.message = sentence(message)
        self._touch()

    def end(self) -> None:
        """Say that it is over; later calls change nothing."""
        if not self._report.HasField("end_time"):
            self._report.end_time.GetCurrentTime()
            self._touch()

    @override
    def enter(self) -> "Scope":
        self._visit.enter()
        return self

    @override
    def leave(self, error: BaseException | None) -> None:
        self._failures.note(error, self._visit.place)
        self._visit.leave()
        self.end()

    def abandon(self, frame: FrameType) -> None:
        """End it in the midst of a loop that this frame has left, nobody knows why yet."""
        self._failures.note_abandoned(self._visit.place, frame)
        self.leave(None)

    @override
    def labels(self) -> dict[str, str]:
        item = self._report.completed_count + 1
        if self._report.HasField("total_count"):
            item = min(item, max(1, self._report.total_count))
        return {self.name: str(item), **self._report.context}

    def snapshot(self) -> RunReport | None:
        """Return the report on its present state; None while it is but a decorator."""
        if self._is_pattern:
            return None
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
        unit=one_line(unit, 64),
        message=sentence(message),
        context=texts_of(context),
    )
    if total is not None:
        report.total_count = whole(total, 0)
    return report
