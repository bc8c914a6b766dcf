import pytest

from trackside.client.queueing import awaited, is_queued
from trackside_protos.runners.v1.runners_service_pb2 import Runner
from trackside_protos.runs.v1.run_pb2 import Run
from trackside_protos.runs.v1.run_state_pb2 import RunState, StateReason

RUN = Run(
    runner="local",
    state=RunState.RUN_STATE_PENDING,
    state_reason=StateReason.STATE_REASON_QUEUED,
)
OTHER = Runner(name="slurm", connected=True, capacity=9)
FULL = Runner(name="local", connected=True, capacity=2, active_count=2)
FREE = Runner(name="local", connected=True, capacity=2, active_count=1)
AWAY = Runner(name="local", capacity=2)
FAULTY = Runner(name="local", connected=True, capacity=2, fault="no module named x")


@pytest.mark.parametrize(
    ("runners", "expected"),
    [
        ([OTHER], "an agent that offers the runner local: there is none"),
        ([OTHER, AWAY], "the agent that offers the runner local: it is away"),
        ([AWAY, FAULTY], "the runner local, which cannot be used: no module named x"),
        ([AWAY, FULL, FULL], "room: the runner local has 4 of 4 runs"),
        ([FULL, FREE], ""),
    ],
)
def test_what_a_queued_run_waits_for_is_told_by_the_runners(
    runners: list[Runner], expected: str
) -> None:
    assert awaited(RUN, runners) == expected


def test_a_run_that_an_agent_has_taken_is_queued_no_more() -> None:
    taken = Run(runner="local", state=RunState.RUN_STATE_INITIALIZING)

    assert is_queued(RUN)
    assert not is_queued(taken)
