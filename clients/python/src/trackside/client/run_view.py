"""What one watch of a run has told so far, folded into its present state; no I/O."""

from typing import TYPE_CHECKING

from trackside_protos.runs.v1.change_pb2 import RunChange, RunSnapshot
from trackside_protos.runs.v1.run_pb2 import Run
from trackside_protos.runs.v1.runs_service_pb2 import WatchRunResponse

if TYPE_CHECKING:
    from trackside_protos.runs.v1.output_pb2 import Output
    from trackside_protos.runs.v1.scope_pb2 import Scope
    from trackside_protos.runs.v1.task_pb2 import Process, Task

_KEPT_FIELDS = ("provenance", "launch", "sweep")  # absent in most changes, as scopes are


class RunView:
    """The run, its scopes, processes, tasks and outputs as a watch has told them.

    Tasks are those that were open when the watch began, and those that changed since.
    """

    def __init__(self, run: Run | None = None) -> None:
        self.run: Run = Run()
        if run is not None:
            self.run.CopyFrom(run)
        self.scopes: dict[str, Scope] = {scope.path: scope for scope in self.run.scopes}
        self.processes: dict[str, Process] = {}
        self.tasks: dict[str, Task] = {}
        self.outputs: dict[str, Output] = {}
        self.caught_up: bool = False

    def apply(self, response: WatchRunResponse) -> None:
        """Take in one response of the watch."""
        if response.HasField("snapshot"):
            self._apply_snapshot(response.snapshot)
        for change in response.changes:
            self._apply_change(change)
        self.caught_up = self.caught_up or response.caught_up

    def _apply_snapshot(self, snapshot: RunSnapshot) -> None:
        if snapshot.HasField("run"):
            self._apply_run(snapshot.run)
        self.scopes.update((scope.path, scope) for scope in snapshot.scopes)
        self.processes.update((process.process, process) for process in snapshot.processes)
        self.tasks.update((task.task_id, task) for task in snapshot.open_tasks)

    def _apply_change(self, change: RunChange) -> None:
        match change.WhichOneof("change"):
            case "run":
                self._apply_run(change.run)
            case "scope":
                self.scopes[change.scope.path] = change.scope
            case "task":
                self.tasks[change.task.task.task_id] = change.task.task
                if change.task.HasField("process"):
                    self.processes[change.task.process.process] = change.task.process
            case "output":
                self.outputs[change.output.path] = change.output
            case _:  # a gap or an ignored report changes nothing; so does what is newer than us
                pass

    def _apply_run(self, run: Run) -> None:
        merged = Run()
        merged.CopyFrom(run)
        for name in _KEPT_FIELDS:
            if not merged.HasField(name) and self.run.HasField(name):
                getattr(merged, name).CopyFrom(getattr(self.run, name))
        if not merged.scopes:
            merged.scopes.extend(self.run.scopes)
        self.run = merged
