"""What a run offers: the actions now allowed, and what else there is to see of it."""

from typing import Final

from trackside_protos.runs.v1 import output_pb2, run_pb2, run_state_pb2
from trackside_runs.record import RunRecord

_IDLE: Final = run_state_pb2.RUN_STATE_IDLE
_Action: Final = run_state_pb2.RunAction
_FOLLOWING_FACETS: Final = frozenset(
    {
        run_pb2.RUN_FACET_ERROR,
        run_pb2.RUN_FACET_HISTORY,
        run_pb2.RUN_FACET_TASKS,
        run_pb2.RUN_FACET_CHILDREN,
        run_pb2.RUN_FACET_SCOPES,
    }
)
"""What follows from the run; the others are noted when they come."""


def can_be_ended(record: RunRecord) -> bool:
    """Whether there is somebody who could end the run: nobody can who only watches it."""
    if record.is_final:
        return False
    is_idle = record.message.state == _IDLE
    is_ours = record.facts.is_launched or record.message.is_parent
    return is_idle or is_ours or bool(record.facts.authority)


def refresh(record: RunRecord) -> None:
    """Set the actions and facets that follow from the run as it is now."""
    run = record.message
    run.actions[:] = _actions(record)
    kept = [facet for facet in run.facets if facet not in _FOLLOWING_FACETS]
    run.facets[:] = sorted(kept + _following(record))


def _actions(record: RunRecord) -> list[run_state_pb2.RunAction.ValueType]:
    run, asked = record.message, record.facts.end_action
    actions: list[run_state_pb2.RunAction.ValueType] = []
    if can_be_ended(record):
        if not asked:
            actions.append(_Action.RUN_ACTION_STOP)
        is_kill_asked = asked == _Action.RUN_ACTION_KILL
        actions.append(_Action.RUN_ACTION_FORCE_END if is_kill_asked else _Action.RUN_ACTION_KILL)
    actions.append(_Action.RUN_ACTION_UPDATE)
    if run.is_parent and not run.closed and not record.is_ended:
        actions.append(_Action.RUN_ACTION_CLOSE)
    if record.is_final:
        actions.append(_Action.RUN_ACTION_DELETE)
    if record.is_final and _has_deletable_outputs(record):
        actions.append(_Action.RUN_ACTION_DELETE_OUTPUTS)
    return actions


def _has_deletable_outputs(record: RunRecord) -> bool:
    run = record.message
    is_safe = run.HasField("output_directory") and not run.output_directory.hazard
    return record.facts.is_launched and is_safe and run_pb2.RUN_FACET_OUTPUTS in run.facets


def _following(record: RunRecord) -> list[run_pb2.RunFacet.ValueType]:
    run, facts = record.message, record.facts
    facets: list[run_pb2.RunFacet.ValueType] = []
    if run.HasField("error"):
        facets.append(run_pb2.RUN_FACET_ERROR)
    if run.resumed_run_id:
        facets.append(run_pb2.RUN_FACET_HISTORY)
    if facts.task_count:
        facets.append(run_pb2.RUN_FACET_TASKS)
    if run.is_parent:
        facets.append(run_pb2.RUN_FACET_CHILDREN)
    if facts.scope_count:
        facets.append(run_pb2.RUN_FACET_SCOPES)
    return facets


def note_output(record: RunRecord, output: output_pb2.Output) -> None:
    """Note that the run has an output."""
    facets = {*record.message.facets, run_pb2.RUN_FACET_OUTPUTS}
    if output.kind == output_pb2.OUTPUT_KIND_REPORT:
        facets.add(run_pb2.RUN_FACET_REPORTS)
    if len(facets) > len(record.message.facets):
        record.message.facets[:] = sorted(facets)
        record.message.actions[:] = _actions(record)
        record.touch()
