"""The commands that would help next, for a run as it stands."""

from collections.abc import Sequence

from trackside.client.states import has_ended
from trackside_protos.runs.v1.run_pb2 import Run, RunFacet
from trackside_protos.runs.v1.run_state_pb2 import RunAction, RunState


def next_steps(run: Run, children: Sequence[Run] = (), *, has_series: bool = False) -> list[str]:
    """Return commands to type, the most helpful first."""
    failed = [child for child in children if child.state == RunState.RUN_STATE_FAILED]
    steps = [f"trackside describe {failed[0].run_id}"] if failed else []
    if run.state == RunState.RUN_STATE_FAILED and not run.is_parent:
        steps.append(f"trackside logs --tail 100 {run.run_id}")
    if not has_ended(run):
        steps.append(f"trackside watch {run.run_id}")
        steps += [] if run.is_parent else [f"trackside logs -f {run.run_id}"]
    if RunFacet.RUN_FACET_OUTPUTS in run.facets:
        steps.append(f"trackside get outputs {run.run_id}")
    if has_series:
        steps.append(f"trackside get metrics {run.run_id}")
    if RunAction.RUN_ACTION_STOP in run.actions:
        steps.append(f"trackside stop {run.run_id}")
    if RunAction.RUN_ACTION_KILL in run.actions:
        steps.append(f"trackside kill {run.run_id}")
    if RunAction.RUN_ACTION_FORCE_END in run.actions:
        steps.append(f"trackside kill --force-end {run.run_id}")
    return steps
