from trackside.client.states import has_ended, is_final, run_state_word
from trackside_protos.runs.v1.run_pb2 import Run
from trackside_protos.runs.v1.run_state_pb2 import RunState


def test_words_have_no_prefix() -> None:
    assert run_state_word(RunState.RUN_STATE_RUNNING) == "RUNNING"


def test_a_state_of_a_newer_server_is_shown_by_its_number() -> None:
    assert run_state_word(99) == "99"


def test_an_idle_run_has_ended_but_is_not_final() -> None:
    run = Run(state=RunState.RUN_STATE_IDLE)

    assert has_ended(run)
    assert not is_final(run)
