"""The sweep as Trackside is asked for it: a parent with a grid, then the best variant refitted."""

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from trackside.client.connection import Connection
from trackside.client.handle import RunHandle
from trackside.client.run_view import RunView
from trackside.client.states import has_ended
from trackside.client.watch import watch_run
from trackside.identifiers import new_identifier
from trackside_protos.runs.v1.run_pb2 import Launch, ResultSummary, Run, Sweep, SweepAxis
from trackside_protos.runs.v1.run_state_pb2 import RunState
from trackside_protos.runs.v1.runs_service_pb2 import CloseRunRequest, CreateRunRequest

HERE: Final = Path(__file__).resolve().parent
AXES: Final[dict[str, Sequence[str | float]]] = {
    "model": ("ridge", "lasso", "svr", "neighbors", "boosting"),
    "features": ("linear", "polynomial"),
    "strength": (0.3, 1, 3),
}
_ONE_THREAD: Final[dict[str, str]] = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"
)
"""Variants run side by side, so none should take every core for itself."""


@dataclass(frozen=True)
class Place:
    """Where the sweep keeps its files."""

    folder: Path

    @property
    def cache(self) -> Path:
        """What preprocessing has computed, for all variants and sweeps."""
        return self.folder / "cache"

    def outputs(self, run_id: str) -> Path:
        """What one run has to show."""
        return self.folder / "outputs" / run_id


def submit(connection: Connection, place: Place) -> Run:
    """Create the parent; the server makes a child of each variant, and the agent runs them."""
    parent = Run(
        run_id=new_identifier(),
        name="diabetes sweep",
        description="Five models, two feature sets, three strengths; five folds each",
        tags=["example", "sweep"],
        runner="local",
        is_parent=True,
        launch=_launch(place, "train.py"),
        sweep=Sweep(parallelism=os.cpu_count() or 1),  # stays open: the refit comes later
    )
    for key, values in AXES.items():
        axis = SweepAxis(key=key)
        for value in values:
            if isinstance(value, str):
                axis.values.add(string_value=value)
            else:
                axis.values.add(number_value=value)
        parent.sweep.axes.append(axis)
    return connection.call(connection.runs.CreateRun, CreateRunRequest(run=parent)).run


def conclude(connection: Connection, parent: Run, place: Place) -> None:
    """Wait for the grid, refit the best variant as one more child, and close the parent.

    A parent that a user ends meanwhile is left alone.
    """
    total = parent.children.total_count
    if has_ended(wait_for_children(connection, parent.run_id, total)):
        return
    children = [child.run for child in RunHandle(parent, connection).children()]
    result = None
    if (best := best_of(children)) is not None:
        refit(connection, parent, best, place)
        if has_ended(wait_for_children(connection, parent.run_id, total + 1)):
            return
        result = summary(children, best)
    request = CloseRunRequest(run_id=parent.run_id, result=result)
    connection.call(connection.runs.CloseRun, request)


def wait_for_children(connection: Connection, parent_id: str, count: int) -> Run:
    """Return the parent when this many children have ended, or it has ended itself.

    An outage of the server is waited out.
    """
    view = RunView()
    with watch_run(connection, parent_id, patient=True) as responses:
        for response in responses:
            view.apply(response)
            if view.run.children.ended_count >= count:
                break
    return view.run


def best_of(children: Sequence[Run]) -> Run | None:
    """Return the completed child with the best score."""
    scored = [
        child
        for child in children
        if child.state == RunState.RUN_STATE_COMPLETED and child.result.HasField("best_score")
    ]
    return max(scored, key=lambda child: child.result.best_score, default=None)


def refit(connection: Connection, parent: Run, best: Run, place: Place) -> None:
    """Create the last child: the best variant again, on all data, with outputs."""
    run_id = new_identifier()
    child = Run(
        run_id=run_id,
        name="refit",
        description="The best variant, fitted to all data",
        parent_run_id=parent.run_id,
        runner="local",
        parameters=best.parameters,
        tags=["refit"],
        launch=_launch(place, "refit.py", "--outputs", str(place.outputs(run_id))),
    )
    connection.call(connection.runs.CreateRun, CreateRunRequest(run=child))


def summary(children: Sequence[Run], best: Run) -> ResultSummary:
    """Return what the sweep has achieved."""
    return ResultSummary(
        best_score=best.result.best_score,
        best_series=best.result.best_series,
        best_run_id=best.run_id,
        models_trained_count=sum(child.result.models_trained_count for child in children),
    )


def _launch(place: Place, program: str, *further: str) -> Launch:
    named = [word for key in AXES for word in (f"--{key}", f"{{{key}}}")]
    place.folder.mkdir(parents=True, exist_ok=True)
    return Launch(
        command=[
            sys.executable,
            str(HERE / program),
            *named,
            "--cache",
            str(place.cache),
            *further,
        ],
        work_directory=str(place.folder),
        environment=_ONE_THREAD,
    )
