"""What a run that no agent has taken yet waits for."""

from collections.abc import Sequence

from trackside_protos.runners.v1.runners_service_pb2 import Runner
from trackside_protos.runs.v1.run_pb2 import Run
from trackside_protos.runs.v1.run_state_pb2 import RunState, StateReason


def is_queued(run: Run) -> bool:
    """Return whether a run waits for an agent to take it."""
    return (
        run.state == RunState.RUN_STATE_PENDING
        and run.state_reason == StateReason.STATE_REASON_QUEUED
    )


def awaited(run: Run, runners: Sequence[Runner]) -> str:
    """Return what a queued run waits for, as far as the runners tell; else an empty text."""
    offered = [runner for runner in runners if runner.name == run.runner]
    connected = [runner for runner in offered if runner.connected]
    usable = [runner for runner in connected if not runner.fault]
    if not offered:
        return f"an agent that offers the runner {run.runner}: there is none"
    if not connected:
        return f"the agent that offers the runner {run.runner}: it is away"
    if not usable:
        return f"the runner {run.runner}, which cannot be used: {connected[0].fault}"
    if all(runner.active_count >= runner.capacity for runner in usable):
        active = sum(runner.active_count for runner in usable)
        capacity = sum(runner.capacity for runner in usable)
        return f"room: the runner {run.runner} has {active} of {capacity} runs"
    return ""
