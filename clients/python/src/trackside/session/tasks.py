"""Tasks: the nodes that a run executes."""

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from typing_extensions import override

from trackside.identifiers import new_identifier
from trackside.session.block import Block
from trackside.session.decorating import Arguments, Returned, decorated, name_of
from trackside.session.failure import FailurePlace, sentence_of
from trackside.session.place import Visit, here
from trackside.session.recorder import Recorder
from trackside.session.values import one_line, printable, sentence
from trackside_protos.runs.v1 import task_pb2
from trackside_protos.runs.v1.report_pb2 import RunReport
from trackside_protos.runs.v1.task_pb2 import TaskState

_LONGEST_MESSAGE: Final = 1_024
_LONGEST_SCRIPT: Final = 60 << 10


class Task(Block["Task"]):
    """One execution of a node; a context manager, sync and async. Log entries inside belong to it.

    As a decorator, of functions, coroutine functions and generator functions, it makes each call
    a task.
    """

    def __init__(
        self, recorder: Recorder, failures: FailurePlace, run_id: str, report: task_pb2.Task
    ) -> None:
        """Begin to run; made by `Run.task`, not by users."""
        self._pattern = task_pb2.Task()
        self._pattern.CopyFrom(report)
        outer = here(run_id)
        self._run_id = run_id
        self._recorder = recorder
        self._failures = failures
        self._is_pattern = False
        self._was_reported = False
        self._end_state = TaskState.TASK_STATE_SUCCEEDED
        self._report = report
        report.name = report.name or "task"
        report.process = report.process or report.name
        report.task_id = new_identifier()
        report.parent_task_id = outer.task_id
        report.scope_path = outer.scope_path
        report.context.update({**outer.context(), **report.context})
        report.script = report.script[:_LONGEST_SCRIPT]
        report.state = TaskState.TASK_STATE_RUNNING
        report.create_time.GetCurrentTime()
        self._attempt = report.attempts.add(number=1, state=TaskState.TASK_STATE_RUNNING)
        for message in (report, self._attempt):
            message.submit_time.CopyFrom(report.create_time)
            message.start_time.CopyFrom(report.create_time)
        self._visit = Visit(
            replace(outer, task_id=report.task_id, task_name=report.name, outer=outer)
        )
        recorder.touch(self)

    def __call__(self, function: Callable[Arguments, Returned], /) -> Callable[Arguments, Returned]:
        """Return the function such that each call of it is such a task."""
        self._is_pattern = True
        self._pattern.name = self._pattern.name or one_line(name_of(function))
        self._pattern.process = self._pattern.process or self._pattern.name
        return decorated(function, self._again)

    def _again(self) -> "Task":
        if self._is_pattern and self._was_reported:  # in the moment before it became a decorator
            self._is_pattern = False
            return self
        report = task_pb2.Task()
        report.CopyFrom(self._pattern)
        again = Task(self._recorder, self._failures, self._run_id, report)
        again._end_state = self._end_state
        return again

    @property
    def task_id(self) -> str:
        """Its id, unique within the run."""
        return self._report.task_id

    def cached(self) -> None:
        """Say that an earlier execution satisfies it: it ends CACHED."""
        self._end_state = TaskState.TASK_STATE_CACHED

    def message(self, text: str) -> None:
        """Say what it does now."""
        self._report.message = sentence(text)
        self._recorder.touch(self)

    def fail(self, message: str) -> None:
        """Say that it failed, where no exception says so."""
        self._end_state = TaskState.TASK_STATE_FAILED
        self._attempt.error_message = printable(message)[:_LONGEST_MESSAGE]

    def end(self) -> None:
        """Say that it is over; later calls change nothing."""
        if self._report.HasField("end_time"):
            return
        self._report.state = self._attempt.state = self._end_state
        self._report.end_time.GetCurrentTime()
        self._attempt.end_time.CopyFrom(self._report.end_time)
        self._recorder.touch(self)

    @override
    def enter(self) -> "Task":
        self._visit.enter()
        return self

    @override
    def leave(self, error: BaseException | None) -> None:
        self._failures.note(error, self._visit.place)
        self._visit.leave()
        if error is not None and not isinstance(error, GeneratorExit):
            self.fail(sentence_of(error))
        self.end()

    def snapshot(self) -> RunReport | None:
        """Return the report on its present state; None while it is but a decorator."""
        if self._is_pattern:
            return None
        self._was_reported = True
        report = RunReport(task=self._report)
        report.time.FromNanoseconds(time.time_ns())
        return report
