"""The commands that would help next, for a run as it stands."""

from collections.abc import Sequence
from typing import Final

from trackside.client.states import has_ended
from trackside_protos.runs.v1.run_pb2 import Run, RunFacet
from trackside_protos.runs.v1.run_state_pb2 import RunAction, RunState

_DEEDS: Final = (
    (RunAction.RUN_ACTION_STOP, "stop"),
    (RunAction.RUN_ACTION_KILL, "kill"),
    (RunAction.RUN_ACTION_FORCE_END, "kill --force-end"),
)


def next_steps(run: Run, children: Sequence[Run] = (), *, has_series: bool = False) -> list[str]:
    """Return commands to type, the most helpful first."""
    failed = [child for child in children if child.state == RunState.RUN_STATE_FAILED]
    steps = [f"trackside describe {failed[0].run_id}"] if failed else []
    if run.state == RunState.RUN_STATE_FAILED and not run.is_parent:
        steps.append(f"trackside logs --tail 100 {run.run_id}")
    if not has_ended(run):
        steps.append(f"trackside watch {run.run_id}")
        steps += [] if run.is_parent else [f"trackside logs -f {run.run_id}"]
    if run.state == RunState.RUN_STATE_FAILED and run.launch.command and not run.is_parent:
        steps.append(f"trackside resume {run.run_id}")
    if RunFacet.RUN_FACET_OUTPUTS in run.facets:
        steps.append(f"trackside download {run.run_id}")
    if has_series:
        steps.append(f"trackside get metrics {run.run_id}")
    return steps + [
        f"trackside {words} {run.run_id}" for action, words in _DEEDS if action in run.actions
    ]
