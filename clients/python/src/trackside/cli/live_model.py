"""What the live page of a run knows: what its watches have told so far; no I/O."""

from collections import deque
from typing import TYPE_CHECKING, Final

from trackside.client.log_lines import LogLine, lines_of
from trackside.client.run_view import RunView
from trackside.client.states import has_ended
from trackside_protos.live.v1.live_service_pb2 import WatchLiveResponse
from trackside_protos.logs.v1.logs_service_pb2 import WatchLogsResponse
from trackside_protos.metrics.v1.metrics_service_pb2 import ListSeriesResponse
from trackside_protos.runs.v1.run_pb2 import Run
from trackside_protos.runs.v1.runs_service_pb2 import WatchRunResponse, WatchRunsResponse

if TYPE_CHECKING:
    from trackside_protos.metrics.v1.series_pb2 import Series

TAIL: Final = 200


class Received:
    """A run, and when it was received, so that its duration can go on counting."""

    def __init__(self, run: Run, at: float) -> None:
        self.run = run
        self.at = at


class LiveModel:
    """One run with its parts, or a parent with its children."""

    def __init__(self, run: Run, at: float) -> None:
        self.view: RunView = RunView(run)
        self.received_at: float = at
        """When the run was last heard of, on a clock that only goes forward."""
        self.children: dict[str, Received] = {}
        self.series: list[Series] = []
        self.tail: deque[tuple[str, LogLine]] = deque(maxlen=TAIL)
        """The latest log lines, each with the id of its run."""
        self.away = ""
        """Why nothing comes at present; empty when all is well."""

    @property
    def run(self) -> Run:
        """The run as it is now."""
        return self.view.run

    def active_children(self) -> list[str]:
        """Return the ids of the children whose work goes on, the first started first."""
        working = [child.run for child in self.children.values() if _works(child.run)]
        working.sort(key=lambda run: (run.start_time.seconds, run.start_time.nanos))
        return [run.run_id for run in working]

    def ended_children(self) -> int:
        """Return how many children were told to have ended."""
        return sum(has_ended(child.run) for child in self.children.values())

    def take(self, source: str, response: object, at: float) -> bool:
        """Take in a response of the source named; return whether it told something new."""
        changed = False
        match response:
            case WatchLiveResponse():
                told = self._take_run(response.run, at)
                changed = self._take_logs(self.run.run_id, response.logs) or told
            case WatchRunResponse():
                changed = self._take_run(response, at)
            case WatchRunsResponse():
                changed = self._take_children(response, at)
            case WatchLogsResponse():
                changed = self._take_logs(source, response)
            case ListSeriesResponse():  # asked for again and again, so its coming is no news
                self.series = list(response.series)
            case _:
                pass
        return changed

    def _take_run(self, response: WatchRunResponse, at: float) -> bool:
        told = bool(response.changes) or response.HasField("snapshot")
        if told:
            self.view.apply(response)
            self.received_at = at
        return told

    def _take_children(self, response: WatchRunsResponse, at: float) -> bool:
        for run in reversed(response.present):  # newest first, and a grid is made in its order
            self.children[run.run_id] = Received(run, at)
        for change in response.changes:
            if change.HasField("run"):
                self.children[change.run.run_id] = Received(change.run, at)
        return bool(response.present or response.changes)

    def _take_logs(self, run_id: str, response: WatchLogsResponse) -> bool:
        for line in lines_of(response.blocks):
            self.tail.append((run_id, line))
        return bool(response.blocks)


def _works(run: Run) -> bool:
    return bool(run.start_time.seconds) and not has_ended(run)
