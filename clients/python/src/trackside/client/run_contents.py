"""What a run consists of and has said, as it is asked for: logs, metrics, tasks, outputs."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from trackside.client import listing, watch
from trackside.client.connection import Connection
from trackside.client.log_lines import LogLine, chosen_levels, lines_of
from trackside.client.metrics import Metrics
from trackside.client.outputs import Outputs
from trackside.client.run_downloads import download_outputs
from trackside.client.run_output import RunFiles, RunOutput
from trackside.client.states import (
    action_word,
    run_state_word,
)
from trackside.client.stopping import Stopper
from trackside_protos.logs.v1.logs_service_pb2 import LogFilter
from trackside_protos.metrics.v1.metrics_service_pb2 import (
    QueryPointsRequest,
    SeriesFilter,
)
from trackside_protos.metrics.v1.series_pb2 import Series
from trackside_protos.runs.v1.run_pb2 import Run
from trackside_protos.runs.v1.runs_service_pb2 import (
    WatchRunResponse,
)
from trackside_protos.runs.v1.task_pb2 import Process, Task, TaskState
from trackside_protos.watches.v1.watch_start_pb2 import WatchStart


class RunContents:
    """One run, and what is in it.

    Holds the run as it was when last asked for; methods ask the server.
    May be used from many threads.
    """

    def __init__(self, run: Run, connection: Connection) -> None:
        self._run = run
        self._connection = connection
        self._stopper = Stopper()

    @property
    def run_id(self) -> str:
        """The run's id."""
        return self._run.run_id

    @property
    def name(self) -> str:
        """What people call it."""
        return self._run.name

    @property
    def run(self) -> Run:
        """The whole run as it was when last asked for."""
        return self._run

    @property
    def state(self) -> str:
        """The state when last asked for, for example `RUNNING`."""
        return run_state_word(self._run.state)

    @property
    def actions(self) -> tuple[str, ...]:
        """What might be done with it when last asked for, for example `("KILL", "UPDATE")`."""
        return tuple(action_word(action) for action in self._run.actions)

    def logs(  # noqa: PLR0913  # each is a field of the log filter, by keyword only
        self,
        *,
        follow: bool = False,
        last: int | None = None,
        levels: str | Iterable[str] = (),
        streams: Sequence[str] = (),
        task_id: str = "",
        context: Mapping[str, str] | None = None,
        text: str = "",
    ) -> Iterator[LogLine]:
        """Yield entries of the run's log, in order.

        Args:
            follow: Go on until the run is sealed, waiting for what is new.
            last: Only the latest entries, then what is new.
            levels: Levels by name; a single one stands for itself and all above it.
            streams: For example `stdout`.
            task_id: Entries of this task.
            context: Entries with all of these in their context.
            text: Entries that contain this text, upper and lower case alike.
        """
        chosen = LogFilter(
            levels=chosen_levels(levels),
            streams=streams,
            task_id=task_id,
            context=context,
            text=text,
        )
        if follow:
            start = watch.BEGINNING if last is None else watch.last(last)
            return self._followed_logs(start, chosen)
        if last is not None:
            return iter(listing.last_logs(self._connection, self.run_id, last, log_filter=chosen))
        return listing.list_logs(self._connection, self.run_id, log_filter=chosen)

    def _followed_logs(self, start: WatchStart, chosen: LogFilter) -> Iterator[LogLine]:
        responses = watch.watch_logs(self._connection, self.run_id, start, log_filter=chosen)
        with responses, self._stopper.minding(responses):
            for response in responses:
                yield from lines_of(response.blocks)

    def series(self, *keys: str, prefix: str = "") -> list[Series]:
        """Return what is known of the run's series: last, best, mean, count and so on."""
        chosen = SeriesFilter(keys=keys, key_prefix=prefix)
        return list(listing.list_series(self._connection, self.run_id, series_filter=chosen))

    def metrics(
        self,
        *keys: str,
        prefix: str = "",
        context: Mapping[str, str] | None = None,
        buckets: int = 0,
    ) -> Metrics:
        """Return the points of series; down-sampled, extremes kept, when `buckets` is not 0.

        Example:
            ```python
            run.metrics("loss").to_pandas()  # or to_arrow(), or go through the series
            ```
        """
        request = QueryPointsRequest(
            run_id=self.run_id,
            filter=SeriesFilter(keys=keys, key_prefix=prefix, context=context),
            max_buckets=buckets,
        )
        response = self._connection.call(self._connection.metrics.QueryPoints, request)
        return Metrics(response.series)

    def tasks(
        self,
        *states: "TaskState.ValueType",
        process: str = "",
        filter_text: str = "",
        order_by: str = "",
    ) -> Iterator[Task]:
        """Yield the run's tasks that match, in order of creation unless asked otherwise.

        Args:
            states: Only tasks in these states.
            process: Only tasks of this process.
            filter_text: Only tasks that match, for example `attempts > 1`; the fields are told by
                `trackside help filter`.
            order_by: For example `duration desc`.
        """
        return listing.list_tasks(
            self._connection,
            self.run_id,
            filter_text=filter_text,
            states=states,
            process=process,
            order_by=order_by,
        )

    def processes(self) -> Sequence[Process]:
        """Return the run's tasks counted by the named node they belong to."""
        return listing.list_processes(self._connection, self.run_id)

    def outputs(self) -> Outputs[RunOutput]:
        """Return the files that the run published; printed, they are a table.

        Example:
            ```python
            print(run.outputs())
            # Archive size: 1.2 MB
            # Contents:
            #   Size         Compressed   Name
            #   3.4 MB       1.2 MB       model.pt
            ```
        """
        files = RunFiles(self._connection, self.run_id, self._stopper)
        listed = listing.list_outputs(self._connection, self.run_id)
        return Outputs(RunOutput(output, files) for output in listed)

    def download(
        self, directory: str | Path = "", *, overwrite: bool = False, accept_changed: bool = False
    ) -> Sequence[Path]:
        """Have all published files on this machine, by their paths below a folder.

        What cannot be had does not keep the rest from coming. To call it again after an
        interruption goes on where it was.

        Args:
            directory: Where they are to be; by default `outputs-` and the run's id, here.
                Nothing is ever written elsewhere, whatever the paths say.
            overwrite: Whether files may be written over. Folders never are.
            accept_changed: Whether they may have been written since they were published.

        Raises:
            DownloadFailedError: Some could not be had; it says which, and why.
            OSError: They cannot be written.

        Example:
            ```python
            for path in trackside.get_run("@latest").download("results"):
                print(path)
            ```
        """
        return download_outputs(
            self.outputs(),
            Path(directory or f"outputs-{self.run_id}"),
            overwrite=overwrite,
            accept_changed=accept_changed,
        )

    def changes(self) -> watch.Watch[WatchRunResponse]:
        """Watch the run: its present state, then every change, until it is sealed."""
        return watch.watch_run(self._connection, self.run_id)

    def interrupt(self) -> None:
        """End all that waits for the server by this handle, present and future; from any thread."""
        self._stopper.stop()
