from trackside_protos.runs.v1.run_state_pb2 import ConditionKind, RunState, StateReason
from trackside_runs.state_meanings import state_graph
from trackside_runs.states import RUN_TRANSITIONS


def test_the_graph_knows_every_value_of_every_enum() -> None:
    graph = state_graph()

    assert [info.state for info in graph.run_states] == list(RunState.values())[1:]
    assert [info.kind for info in graph.conditions] == list(ConditionKind.values())[1:]
    assert [info.reason for info in graph.reasons] == list(StateReason.values())[1:]


def test_the_graph_serves_the_transitions_that_writers_go_through() -> None:
    served = {info.state: tuple(info.next_states) for info in state_graph().run_states}

    assert served == dict(RUN_TRANSITIONS)


def test_every_state_says_what_it_means_and_what_to_do() -> None:
    graph = state_graph()

    assert all(info.meaning and info.advice and info.severity for info in graph.run_states)
    assert all(info.meaning and info.advice and info.severity for info in graph.conditions)


def test_a_failed_task_may_be_followed_by_a_further_attempt() -> None:
    failed = next(info for info in state_graph().task_states if info.state == "FAILED")

    assert list(failed.next_states) == ["SUBMITTED", "RUNNING"]
