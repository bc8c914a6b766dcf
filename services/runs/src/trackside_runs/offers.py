"""What a run offers: the actions now allowed, and what else there is to see of it."""

from typing import Final

from trackside_protos.runs.v1 import output_pb2, run_pb2, run_state_pb2
from trackside_runs.record import RunRecord

_Action: Final = run_state_pb2.RunAction
_Facet: Final = run_pb2.RunFacet
_IDLE: Final = run_state_pb2.RunState.RUN_STATE_IDLE


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
    actions = [_Action.RUN_ACTION_UPDATE]
    if can_be_ended(record) and not record.facts.end_requested_by:
        actions.insert(0, _Action.RUN_ACTION_KILL)
    if run.is_parent and not run.closed and not record.is_ended:
        actions.append(_Action.RUN_ACTION_CLOSE)
    del run.actions[:]
    run.actions.extend(actions)
    facts = {
        _Facet.RUN_FACET_ERROR: run.HasField("error"),
        _Facet.RUN_FACET_HISTORY: bool(run.resumed_run_id),
        _Facet.RUN_FACET_TASKS: record.facts.task_count > 0,
        _Facet.RUN_FACET_CHILDREN: run.is_parent,
        _Facet.RUN_FACET_SCOPES: record.facts.scope_count > 0,
    }
    kept = {facet for facet in run.facets if facet not in facts}
    facets = sorted(kept | {facet for facet, holds in facts.items() if holds})
    del run.facets[:]
    run.facets.extend(facets)


def note_output(record: RunRecord, output: output_pb2.Output) -> None:
    """Note that the run has an output."""
    facets = {*record.message.facets, _Facet.RUN_FACET_OUTPUTS}
    if output.kind == output_pb2.OUTPUT_KIND_REPORT:
        facets.add(_Facet.RUN_FACET_REPORTS)
    if len(facets) > len(record.message.facets):
        del record.message.facets[:]
        record.message.facets.extend(sorted(facets))
        record.touch()
