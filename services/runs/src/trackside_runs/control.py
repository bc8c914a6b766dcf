"""Ending runs on request, with proof: requested, delivered, acknowledged, confirmed."""

from dataclasses import dataclass
from typing import Final

from google.protobuf.duration_pb2 import Duration

from trackside_protos.runs.v1 import report_pb2, run_pb2, run_state_pb2
from trackside_runs import lifecycle, offers
from trackside_runs.errors import ActionNotAllowedError
from trackside_runs.identifiers import new_identifier
from trackside_runs.record import RunRecord
from trackside_runs.states import run_state_name
from trackside_runs.storage.ledger import Ledger

_State: Final = run_state_pb2.RunState
_STOP: Final = run_state_pb2.RUN_ACTION_STOP
_KILL: Final = run_state_pb2.RUN_ACTION_KILL
_FORCE_END: Final = run_state_pb2.RUN_ACTION_FORCE_END
_KILLING: Final = run_state_pb2.ConditionKind.CONDITION_KIND_KILLING
_Reason: Final = run_state_pb2.StateReason
_Result: Final = run_pb2.ControlResult
_AT_WORK: Final = frozenset({_State.RUN_STATE_INITIALIZING, _State.RUN_STATE_RUNNING})
_REMEMBERED: Final = 16
_REACHED: Final = ("deliver_time", "acknowledge_time")
_TIMES: Final = {
    report_pb2.CONTROL_STEP_ACKNOWLEDGED: _REACHED,
    report_pb2.CONTROL_STEP_ESCALATED: (*_REACHED, "escalate_time"),
    report_pb2.CONTROL_STEP_CONFIRMED: (*_REACHED, "confirm_time"),
}
"""What is known of a request when a step is reached."""


@dataclass(frozen=True, slots=True)
class _Order:
    """What somebody wants done to a run, and to the children of a parent."""

    action: run_state_pb2.RunAction.ValueType
    requester: str
    grace: Duration | None = None
    """Of a stop."""


def stop(ledger: Ledger, record: RunRecord, requester: str, grace: Duration) -> None:
    """Have a run clean up and end; a parent's children with it. A second time changes nothing.

    Raises:
        ActionNotAllowedError: It has ended, or nobody could end it.
    """
    if not record.is_end_requested:
        _require_end(record, "STOP")
        _end(ledger, record, _Order(_STOP, requester, grace))


def kill(ledger: Ledger, record: RunRecord, requester: str) -> None:
    """Have a run ended at once, also one that is being stopped. A second time changes nothing.

    Raises:
        ActionNotAllowedError: It has ended, or nobody could end it.
    """
    if record.facts.end_action != _KILL:
        _require_end(record, "KILL")
        _end(ledger, record, _Order(_KILL, requester))


def force_end(ledger: Ledger, record: RunRecord, requester: str) -> None:
    """End a run whose kill nobody confirms. Whoever has the work is still to kill it.

    Raises:
        ActionNotAllowedError: No kill is open.
    """
    if record.message.state_reason == _Reason.STATE_REASON_UNCONFIRMED:
        return
    if record.is_final or record.facts.end_action != _KILL:
        state = run_state_name(record.message.state)
        raise ActionNotAllowedError(action="FORCE_END", state=state)
    _force(ledger, record, requester)


def note_step(ledger: Ledger, record: RunRecord, told: report_pb2.ControlReport) -> None:
    """Note how far the authority has got with a request. A repeated word changes nothing."""
    for request in record.message.control_requests:
        if request.request_id == told.request_id:
            _note(ledger, record, request, told)


def note_delivered(ledger: Ledger, record: RunRecord, request_id: str) -> None:
    """Note that a request was handed to the authority's connection."""
    for request in record.message.control_requests:
        if request.request_id == request_id and not request.HasField("deliver_time"):
            request.deliver_time.CopyFrom(lifecycle.now(ledger))
            record.touch()


def enter_request(
    ledger: Ledger,
    record: RunRecord,
    action: run_state_pb2.RunAction.ValueType,
    requester: str,
    grace: Duration | None = None,
) -> run_pb2.ControlRequest:
    """Return a new request among those that are remembered of the run."""
    requests = record.message.control_requests
    del requests[: max(0, len(requests) - _REMEMBERED + 1)]
    request = requests.add(
        request_id=new_identifier(),
        action=action,
        requester=requester,
        grace_duration=grace,
    )
    request.request_time.CopyFrom(lifecycle.now(ledger))
    record.touch()
    return request


def _require_end(record: RunRecord, action: str) -> None:
    if record.is_final or not offers.can_be_ended(record):
        raise ActionNotAllowedError(action=action, state=run_state_name(record.message.state))


def _end(ledger: Ledger, record: RunRecord, order: _Order) -> None:
    record.facts.end_requested_by = order.requester
    record.facts.end_action = order.action
    request = enter_request(ledger, record, order.action, order.requester, order.grace)
    if record.message.is_parent:
        _end_children(ledger, record, order)
    elif record.facts.authority and not record.is_ended:
        _note_killing(ledger, record, order)
        ledger.agents.add_request(record, request.request_id)
    else:
        # Nobody has it: it waits for an agent, or it is IDLE.
        request.confirm_time.CopyFrom(lifecycle.now(ledger))
        request.result = _Result.CONTROL_RESULT_NOTHING_FOUND
        move = lifecycle.Move(_State.RUN_STATE_TERMINATED, record.end_reason)
        lifecycle.enter(ledger, record, move)


def _end_children(ledger: Ledger, parent: RunRecord, order: _Order) -> None:
    is_idle = parent.is_ended
    if not is_idle:
        parent.message.closed = True
        _note_killing(ledger, parent, order)
    for child in ledger.open_children(parent):
        is_asked = child.facts.end_action in (order.action, _KILL)
        if not is_asked and offers.can_be_ended(child):
            _end(ledger, child, order)
    if is_idle:
        move = lifecycle.Move(_State.RUN_STATE_TERMINATED, parent.end_reason)
        lifecycle.enter(ledger, parent, move)
    else:
        lifecycle.end_parent_if_done(ledger, parent)


def _note_killing(ledger: Ledger, record: RunRecord, order: _Order) -> None:
    if order.action == _KILL:
        record.set_condition(_KILLING, since_ms=ledger.now_ms)
    offers.refresh(record)
    record.touch()


def _force(ledger: Ledger, record: RunRecord, requester: str) -> None:
    for request in record.message.control_requests:
        if not request.HasField("confirm_time"):
            request.result = _Result.CONTROL_RESULT_UNCONFIRMED
    request = enter_request(ledger, record, _FORCE_END, requester)
    request.result = _Result.CONTROL_RESULT_UNCONFIRMED
    record.facts.forced_by = requester
    if record.message.is_parent:
        for child in ledger.open_children(record):
            _force(ledger, child, requester)  # and it ends with the last of them
        return
    move = lifecycle.Move(
        _State.RUN_STATE_TERMINATED, record.end_reason, record.end_message, is_forced=True
    )
    lifecycle.enter(ledger, record, move)


def _note(
    ledger: Ledger,
    record: RunRecord,
    request: run_pb2.ControlRequest,
    told: report_pb2.ControlReport,
) -> None:
    missing = [name for name in _TIMES[told.step] if not request.HasField(name)]  # pyright: ignore[reportArgumentType]  # names of fields
    result = _result_of(told) or request.result
    if request.result == _Result.CONTROL_RESULT_UNCONFIRMED:
        result = request.result  # what the run's end was; the time tells that proof came after it
    if not missing and result == request.result:
        return
    request.result = result
    for name in missing:
        getattr(request, name).CopyFrom(lifecycle.now(ledger))
    ledger.agents.remove_request(request.request_id)
    record.touch()
    if not record.is_ended:
        _show_step(ledger, record, request, told.step)


def _result_of(told: report_pb2.ControlReport) -> run_pb2.ControlResult.ValueType:
    """Return what came of a request, as its authority says; unspecified if it does not yet."""
    if told.step != report_pb2.CONTROL_STEP_CONFIRMED:
        return _Result.CONTROL_RESULT_UNSPECIFIED
    if told.nothing_found:
        return _Result.CONTROL_RESULT_NOTHING_FOUND
    return _Result.CONTROL_RESULT_ENDED


def _show_step(
    ledger: Ledger,
    record: RunRecord,
    request: run_pb2.ControlRequest,
    step: report_pb2.ControlStep.ValueType,
) -> None:
    """Show by state and condition that the work is being ended."""
    if step == report_pb2.CONTROL_STEP_ESCALATED:
        record.set_condition(_KILLING, since_ms=ledger.now_ms)
    if request.action == _STOP and record.message.state in _AT_WORK:
        move = lifecycle.Move(_State.RUN_STATE_STOPPING, _Reason.STATE_REASON_STOPPED)
        lifecycle.enter(ledger, record, move)
