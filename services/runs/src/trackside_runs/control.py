"""Ending runs on request, with proof: requested, delivered, acknowledged, confirmed."""

from typing import Final

from trackside_protos.runs.v1 import report_pb2, run_pb2, run_state_pb2
from trackside_runs import lifecycle, offers
from trackside_runs.errors import ActionNotAllowedError
from trackside_runs.identifiers import new_identifier
from trackside_runs.record import RunRecord
from trackside_runs.states import run_state_name
from trackside_runs.storage.ledger import Ledger

_State: Final = run_state_pb2.RunState
_KILL: Final = run_state_pb2.RunAction.RUN_ACTION_KILL
_KILLING: Final = run_state_pb2.ConditionKind.CONDITION_KIND_KILLING
_KILLED: Final = run_state_pb2.StateReason.STATE_REASON_KILLED
_REMEMBERED: Final = 16


def kill(ledger: Ledger, record: RunRecord, requester: str) -> None:
    """Have a run ended; a parent's children with it. A second request changes nothing.

    Raises:
        ActionNotAllowedError: It has ended, or nobody could end it.
    """
    if record.facts.end_requested_by:
        return
    if record.is_final or not offers.can_be_ended(record):
        raise ActionNotAllowedError(action="KILL", state=run_state_name(record.message.state))
    _end(ledger, record, requester)


def note_step(ledger: Ledger, record: RunRecord, told: report_pb2.ControlReport) -> None:
    """Note how far the authority has got with a request. A repeated word changes nothing."""
    for request in record.message.control_requests:
        if request.request_id == told.request_id:
            _note(ledger, record, request, told.step)


def note_delivered(ledger: Ledger, record: RunRecord, request_id: str) -> None:
    """Note that a request was handed to the authority's connection."""
    for request in record.message.control_requests:
        if request.request_id == request_id and not request.HasField("deliver_time"):
            request.deliver_time.CopyFrom(lifecycle.now(ledger))
            record.touch()


def _end(ledger: Ledger, record: RunRecord, requester: str) -> None:
    record.facts.end_requested_by = requester
    request = _request(ledger, record, requester)
    if record.message.is_parent:
        _end_children(ledger, record, requester)
    elif record.facts.authority and not record.is_ended:
        record.set_condition(_KILLING, since_ms=ledger.now_ms)
        ledger.agents.add_request(record, request.request_id)
        offers.refresh(record)
        record.touch()
    else:
        # Nobody has it: it waits for an agent, or it is IDLE.
        request.confirm_time.CopyFrom(lifecycle.now(ledger))
        lifecycle.enter(ledger, record, lifecycle.Move(_State.RUN_STATE_TERMINATED, _KILLED))


def _end_children(ledger: Ledger, parent: RunRecord, requester: str) -> None:
    is_idle = parent.is_ended
    if not is_idle:
        parent.message.closed = True
        parent.set_condition(_KILLING, since_ms=ledger.now_ms)
        offers.refresh(parent)
        parent.touch()
    for child in ledger.open_children(parent):
        if not child.facts.end_requested_by and offers.can_be_ended(child):
            _end(ledger, child, requester)
    if is_idle:
        move = lifecycle.Move(_State.RUN_STATE_TERMINATED, _KILLED)
        lifecycle.enter(ledger, parent, move)
    else:
        lifecycle.end_parent_if_done(ledger, parent)


def _request(ledger: Ledger, record: RunRecord, requester: str) -> run_pb2.ControlRequest:
    requests = record.message.control_requests
    del requests[: max(0, len(requests) - _REMEMBERED + 1)]
    request = requests.add(request_id=new_identifier(), action=_KILL, requester=requester)
    request.request_time.CopyFrom(lifecycle.now(ledger))
    record.touch()
    return request


def _note(
    ledger: Ledger,
    record: RunRecord,
    request: run_pb2.ControlRequest,
    step: report_pb2.ControlStep.ValueType,
) -> None:
    times = ["deliver_time", "acknowledge_time"]
    if step == report_pb2.CONTROL_STEP_CONFIRMED:
        times.append("confirm_time")
    missing = [name for name in times if not request.HasField(name)]  # pyright: ignore[reportArgumentType]  # names of fields
    for name in missing:
        getattr(request, name).CopyFrom(lifecycle.now(ledger))
    if missing:
        ledger.agents.remove_request(request.request_id)
        record.touch()
