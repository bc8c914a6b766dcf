"""What a server answers when it is asked for everything that was reported of a run."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from trackside.client.connection import Connection
from trackside.client.handle import RunHandle, get_run, list_runs
from trackside.client.log_lines import LogLine
from trackside.location import Location
from trackside_protos.metrics.v1.metrics_service_pb2 import SeriesPoints
from trackside_protos.runs.v1.change_pb2 import RunChange
from trackside_protos.runs.v1.run_pb2 import Run
from trackside_protos.runs.v1.run_state_pb2 import RunState, StateReason
from trackside_protos.runs.v1.runs_service_pb2 import ListChangesRequest
from trackside_protos.runs.v1.task_pb2 import Task


@dataclass(frozen=True)
class StoredRun:
    """A run, asked for as it is told."""

    handle: RunHandle
    connection: Connection

    @property
    def run(self) -> Run:
        return self.handle.refresh().run

    @property
    def ending(self) -> tuple[str, str, int]:
        """The state, the reason and the exit code."""
        run = self.run
        return (
            RunState.Name(run.state).removeprefix("RUN_STATE_"),
            StateReason.Name(run.state_reason).removeprefix("STATE_REASON_"),
            run.exit_code,
        )

    def sealed(self) -> "StoredRun":
        """Wait until the run is over and sealed."""
        for _ in self.handle.changes():
            pass
        assert self.run.sealed
        return self

    @property
    def lines(self) -> Sequence[LogLine]:
        """The whole log, whose sequences are dense."""
        lines = list(self.handle.logs())
        assert [line.sequence for line in lines] == list(range(1, len(lines) + 1))
        return lines

    def messages(self, stream: str = "") -> list[str]:
        return [line.message for line in self.lines if stream in ("", line.stream)]

    def series(self, key: str) -> SeriesPoints:
        (series,) = self.handle.metrics(key)
        return series

    def values(self, key: str) -> list[float]:
        """Return the values of a series; none if there is no such series yet."""
        return [value for series in self.handle.metrics(key) for value in series.points.values]

    @property
    def tasks(self) -> dict[str, Task]:
        return {task.name: task for task in self.handle.tasks()}

    @property
    def changes(self) -> Sequence[RunChange]:
        request = ListChangesRequest(run_id=self.handle.run_id, page_size=1_000)
        changes = self.connection.call(self.connection.runs.ListChanges, request).changes
        assert [change.sequence for change in changes] == list(range(1, len(changes) + 1))
        return changes


class StoredRuns:
    """The runs that a server has."""

    def __init__(self, server: str, home: Path) -> None:
        self.connection = Connection(Location(server, "", home))

    def named(self, name: str) -> list[StoredRun]:
        found = list_runs(f'name = "{name}"', connection=self.connection)
        return [StoredRun(handle, self.connection) for handle in found]

    def only(self, name: str) -> StoredRun:
        (run,) = self.named(name)
        return run

    def by_id(self, run_id: str) -> StoredRun:
        return StoredRun(get_run(run_id, connection=self.connection), self.connection)

    def close(self) -> None:
        self.connection.close()
