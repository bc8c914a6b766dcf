"""What a watcher of a run knows: built from what the watch sends, compared with the store."""

from dataclasses import dataclass, field
from typing import Final

from trackside_protos.runs.v1 import (
    change_pb2,
    output_pb2,
    run_pb2,
    runs_service_pb2,
    scope_pb2,
    task_pb2,
)
from trackside_runs.states import OPEN_TASK_STATES

_NOT_IN_CHANGES: Final = (
    "provenance",
    "scopes",
    "launch",
    "sweep",
    "heartbeat_time",
    "elapsed_duration",
)


@dataclass(slots=True)
class RunView:
    """The run and its parts, as told so far."""

    run: run_pb2.Run = field(default_factory=run_pb2.Run)
    scopes: dict[str, scope_pb2.Scope] = field(default_factory=dict[str, scope_pb2.Scope])
    processes: dict[str, task_pb2.Process] = field(default_factory=dict[str, task_pb2.Process])
    open_tasks: dict[str, task_pb2.Task] = field(default_factory=dict[str, task_pb2.Task])
    outputs: dict[str, output_pb2.Output] = field(default_factory=dict[str, output_pb2.Output])

    def take(self, response: runs_service_pb2.WatchRunResponse) -> None:
        if response.HasField("snapshot"):
            self._take_snapshot(response.snapshot)
        for change in response.changes:
            self.apply(change)

    def apply(self, change: change_pb2.RunChange) -> None:
        match change.WhichOneof("change"):
            case "run":
                self.run = plain(change.run)
            case "scope":
                self.scopes[change.scope.path] = change.scope
            case "task":
                self._take_task(change.task)
            case "output":
                self.outputs[change.output.path] = change.output
            case _:
                pass
        self.run.sequence = change.sequence

    def _take_snapshot(self, page: change_pb2.RunSnapshot) -> None:
        if page.HasField("run"):
            self.run = plain(page.run)
        self.scopes |= {scope.path: scope for scope in page.scopes}
        self.processes |= {process.process: process for process in page.processes}
        self.open_tasks |= {task.task_id: plain_task(task) for task in page.open_tasks}

    def _take_task(self, change: change_pb2.TaskChange) -> None:
        task, process = change.task, change.process
        self.processes[process.process] = process
        if not process.total:
            del self.processes[process.process]
        self.open_tasks.pop(change.left_task_id, None)
        if not change.HasField("task"):
            return
        if task.state in OPEN_TASK_STATES:
            self.open_tasks[task.task_id] = plain_task(task)
        else:
            self.open_tasks.pop(task.task_id, None)


def plain(run: run_pb2.Run) -> run_pb2.Run:
    """Return a run without what is not in every change."""
    copy = run_pb2.Run()
    copy.CopyFrom(run)
    for name in _NOT_IN_CHANGES:
        copy.ClearField(name)
    return copy


def plain_task(task: task_pb2.Task) -> task_pb2.Task:
    """Return an open task without what goes on counting."""
    copy = task_pb2.Task()
    copy.CopyFrom(task)
    copy.ClearField("elapsed_duration")
    return copy
