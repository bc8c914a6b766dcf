"""Deleting runs for good: who ended is gone at once for everybody, what is left of it follows."""

from trackside_protos.runs.v1 import run_pb2
from trackside_runs import lifecycle
from trackside_runs.errors import ActionNotAllowedError
from trackside_runs.record import RunRecord
from trackside_runs.states import run_state_name
from trackside_runs.storage.ledger import Ledger


def delete(ledger: Ledger, record: RunRecord, requester: str) -> int:
    """Delete a run and the children of a parent; return how many runs that are.

    A parent whose child is deleted alone counts it no more.

    Raises:
        ActionNotAllowedError: It or a child has not ended.
    """
    doomed = [record]
    if record.message.is_parent:
        doomed += ledger.children(record)
    for each in doomed:
        _require_final(each, is_child=each is not record)
    parent_id = record.message.parent_run_id
    if parent_id and (parent := ledger.find(parent_id)) is not None:
        lifecycle.remove_child(parent, record)
    for each in doomed:
        _remove(ledger, each, requester)
    return len(doomed)


def _require_final(record: RunRecord, *, is_child: bool) -> None:
    if record.is_final:
        return
    state = run_state_name(record.message.state)
    why = f"Its child {record.run_id} is {state} and has to end first." if is_child else ""
    raise ActionNotAllowedError(action="DELETE", state=state, why=why)


def _remove(ledger: Ledger, record: RunRecord, requester: str) -> None:
    run = record.message
    # Whoever was shown the run is told that it is gone, and nothing that was in it.
    last_word = run_pb2.Run(
        run_id=run.run_id,
        owner=run.owner,
        project=run.project,
        state=run.state,
        sealed=True,
        sequence=run.sequence,
        delete_time=lifecycle.now(ledger),
    )
    run.CopyFrom(last_word)
    ledger.remove(record, requester)
