"""A parent's progress: its children's."""

from collections.abc import Sequence

from sqlalchemy import Connection, select

from trackside_protos.runs.v1 import run_pb2
from trackside_runs import estimates
from trackside_runs.record import RunRecord
from trackside_runs.scopes import note_estimate
from trackside_runs.states import ENDED_RUN_STATES
from trackside_runs.storage import tables
from trackside_runs.storage.ledger import Ledger


def refresh_progress(parent: RunRecord) -> None:
    """Set a parent's percent and remaining time from what it counts."""
    children = parent.message.children
    note_estimate(
        parent.message.progress,
        estimates.parent_estimate(
            total=children.total_count,
            ended=children.ended_count,
            open_percent=parent.facts.open_percent,
            durations_ms=parent.facts.child_durations_ms,
            concurrency=children.peak_concurrency,
        ),
    )


def add_up(ledger: Ledger, parent_ids: Sequence[str]) -> None:
    """Add up the percents of the running children of parents, and tell if they have changed.

    Done at most once a second for a parent, not for each report of a child.
    """
    ledger.lock(parent_ids)
    for parent_id in parent_ids:
        parent = ledger.find(parent_id)
        if parent is None or parent.is_ended:
            continue
        total = _open_percent(ledger.connection, parent_id)
        if total != parent.facts.open_percent:
            parent.facts.open_percent = total
            refresh_progress(parent)
            parent.touch()


def _open_percent(connection: Connection, parent_id: str) -> float:
    run, message = tables.RUN.c, tables.RUN_MESSAGE.c
    found = connection.execute(
        select(message.message)
        .join_from(tables.RUN, tables.RUN_MESSAGE, message.run_id == run.run_id)
        .where(
            run.parent_run_id == parent_id,
            run.start_time_ms > 0,
            run.state.not_in(sorted(ENDED_RUN_STATES)),
        )
    )
    return sum(run_pb2.Run.FromString(encoded).progress.percent for (encoded,) in found)
