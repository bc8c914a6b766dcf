"""Entering what silence means, under the run's lock."""

from collections.abc import Sequence
from typing import Final

from trackside_protos.runs.v1 import run_state_pb2
from trackside_runs import lifecycle
from trackside_runs.liveness import Verdict
from trackside_runs.record import RunRecord
from trackside_runs.states import landing
from trackside_runs.storage.ledger import Ledger

_State: Final = run_state_pb2.RunState
_Reason: Final = run_state_pb2.StateReason
_Condition: Final = run_state_pb2.ConditionKind
_MESSAGES: Final = {
    _Reason.STATE_REASON_LOST: "Nothing was heard from its reporter for too long.",
    _Reason.STATE_REASON_NEVER_STARTED: "Nothing was ever reported of it.",
}


def look_at(ledger: Ledger, run_ids: Sequence[str]) -> None:
    """Enter what the silence of runs means now; also notes when to look again."""
    for run_id in run_ids:
        record = ledger.find(run_id)
        if record is None:
            continue
        record.is_dirty = True
        if record.is_ended and record.has_open_tasks:
            lifecycle.abort_open_tasks(ledger, record)
            lifecycle.seal_if_quiet(ledger, record)
            continue
        verdict = ledger.silences.judge(record, now_ms=ledger.now_ms)
        _enter(ledger, record, verdict)


def _enter(ledger: Ledger, record: RunRecord, verdict: Verdict) -> None:
    if verdict.is_to_be_sealed and not record.message.sealed:
        lifecycle.seal(ledger, record)
        return
    if verdict.is_disconnected:
        record.set_condition(_Condition.CONDITION_KIND_DISCONNECTED, since_ms=ledger.now_ms)
    if verdict.is_stalled:
        record.set_condition(_Condition.CONDITION_KIND_STALLED, since_ms=ledger.now_ms)
    if verdict.failure:
        landed = landing(
            _State.RUN_STATE_FAILED,
            is_protected=record.message.termination_protection,
            is_end_requested=record.is_end_requested,
        )
        move = lifecycle.Move(
            landed.state, verdict.failure, _MESSAGES[verdict.failure], outcome=landed.outcome
        )
        lifecycle.enter(ledger, record, move)
