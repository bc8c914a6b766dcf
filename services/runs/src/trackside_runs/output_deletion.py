"""Deleting what a run has published, where it is: ordered here, carried out by the run's agent.

The order is kept, and sent to the agent on each of its connections, until the agent has said what
came of it. Only then is it confirmed; what is gone is noted of each output.
"""

from collections.abc import Collection, Sequence
from typing import Final

from trackside_protos.runners.v1.runners_service_pb2 import DeletionOrder, DeletionReport
from trackside_protos.runs.v1 import run_pb2, run_state_pb2
from trackside_protos.runs.v1.output_deletion_pb2 import DoomedOutput, OutputsDeletion
from trackside_protos.runs.v1.output_pb2 import Output
from trackside_runs import changes, control, lifecycle
from trackside_runs.errors import (
    ActionNotAllowedError,
    OutputsUnreachableError,
    UnsafeDirectoryError,
)
from trackside_runs.record import RunRecord
from trackside_runs.states import run_state_name
from trackside_runs.storage import deletion_orders
from trackside_runs.storage.ledger import Ledger

_ACTION: Final = run_state_pb2.RUN_ACTION_DELETE_OUTPUTS
_Result: Final = run_pb2.ControlResult


def require_possible(ledger: Ledger, record: RunRecord) -> None:
    """Refuse to delete what must not be deleted, or what nobody could delete.

    Raises:
        ActionNotAllowedError: The run has not ended.
        OutputsUnreachableError: No agent launched it, or no directory is known.
        UnsafeDirectoryError: Nothing is deleted in its directory.
    """
    run = record.message
    if not record.is_final:
        raise ActionNotAllowedError(action="DELETE_OUTPUTS", state=run_state_name(run.state))
    if run.is_parent:
        message = "A parent has published nothing itself: delete the outputs of its children."
        raise OutputsUnreachableError(message)
    if not record.facts.is_launched or not record.facts.authority:
        raise OutputsUnreachableError
    if not run.HasField("output_directory"):
        message = "Its runner has recorded no directory for the run, so nothing can be deleted."
        raise OutputsUnreachableError(message)
    path, hazard = run.output_directory.path, run.output_directory.hazard
    if not hazard and (below := deletion_orders.run_below(ledger.connection, record)):
        hazard = f"it holds the directory of another run, {below}"
    if hazard:
        raise UnsafeDirectoryError(
            f"Nothing is deleted below {path}: {hazard}.", metadata={"directory": path}
        )


def order(
    ledger: Ledger, record: RunRecord, requester: str, outputs: Sequence[Output]
) -> run_pb2.ControlRequest:
    """Have outputs deleted that exist, and return the request. What is asked already is not again.

    Raises:
        ServiceError: As `require_possible` says.
    """
    require_possible(ledger, record)
    ordered = deletion_orders.paths_ordered(ledger.connection, record.run_id)
    fresh = [output for output in outputs if output.path not in ordered]
    if not fresh and (known := _answer(record, ordered.values())) is not None:
        return known
    request = control.enter_request(ledger, record, _ACTION, requester)
    request.outputs_deletion.requested_count = len(fresh)
    request.outputs_deletion.requested_bytes = sum(output.size_bytes for output in fresh)
    if fresh:
        _hand_in(ledger, record, request, fresh)
    else:
        request.confirm_time.CopyFrom(lifecycle.now(ledger))
        request.result = _Result.CONTROL_RESULT_NOTHING_FOUND
    return request


def note(ledger: Ledger, agent_id: str, host: str, told: DeletionReport) -> None:
    """Note how far an agent on a host is. A repeated word changes nothing, nor on a deleted run."""
    record = ledger.find(told.run_id)
    if record is None or record.facts.authority != agent_id:
        return
    for gone in told.gone_outputs:
        known = Output(path=gone.path, sequence=gone.sequence)
        if gone.absent:
            changes.note_gone(ledger, record.run_id, known, host)
        else:
            changes.note_existence(ledger, record, known, exists=False)
    if told.HasField("result"):
        deletion_orders.remove(ledger.connection, told.request_id)
    for request in record.message.control_requests:
        if request.request_id == told.request_id and not request.HasField("confirm_time"):
            _note_step(ledger, record, request, told)


def _answer(record: RunRecord, open_ids: Collection[str]) -> run_pb2.ControlRequest | None:
    """Return the request that answers one to which there is nothing to add."""
    known = [one for one in record.message.control_requests if one.action == _ACTION]
    is_open = [one for one in known if one.request_id in open_ids]
    if is_open:
        return is_open[-1]
    if known and known[-1].result != _Result.CONTROL_RESULT_KEPT:
        return known[-1]
    return None


def _hand_in(
    ledger: Ledger, record: RunRecord, request: run_pb2.ControlRequest, outputs: Sequence[Output]
) -> None:
    doomed = [
        DoomedOutput(
            path=output.path,
            location=output.location or output.path,
            size_bytes=output.size_bytes,
            checksum=output.checksum,
            sequence=output.sequence,
        )
        for output in outputs
    ]
    deletion_orders.add(
        ledger.connection,
        record.facts.authority,
        DeletionOrder(
            run_id=record.run_id,
            request_id=request.request_id,
            runner=record.message.runner,
            directory=record.message.output_directory,
        ),
        doomed,
    )
    ledger.agents.has_requests = True


def _note_step(
    ledger: Ledger, record: RunRecord, request: run_pb2.ControlRequest, told: DeletionReport
) -> None:
    now = lifecycle.now(ledger)
    before = request.SerializeToString(deterministic=True)
    for time in ("deliver_time", "acknowledge_time"):
        if not request.HasField(time):
            getattr(request, time).CopyFrom(now)
    if told.HasField("result"):
        request.confirm_time.CopyFrom(now)
        request.outputs_deletion.MergeFrom(told.result)
        request.result = _result_of(told.result)
    if request.SerializeToString(deterministic=True) != before:
        record.touch()


def _result_of(told: OutputsDeletion) -> run_pb2.ControlResult.ValueType:
    if told.kept_count:
        return _Result.CONTROL_RESULT_KEPT
    if told.deleted_count:
        return _Result.CONTROL_RESULT_DELETED
    return _Result.CONTROL_RESULT_NOTHING_FOUND
