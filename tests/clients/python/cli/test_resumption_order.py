import pytest
from google.protobuf.struct_pb2 import Value

from support.example_runs import CHILD_ID, child, failed_child, parent
from trackside.cli.failures import CommandError
from trackside.cli.resumption_order import Given, order_to_resume
from trackside_protos.runs.v1.run_pb2 import Launch, Run
from trackside_protos.runs.v1.run_state_pb2 import RunState

_NOTHING = Given({}, {})
_NEW_ID = "0123456789abcdef"


def _ended() -> Run:
    run = child()
    run.state = RunState.RUN_STATE_FAILED
    run.launch.work_directory = "/home/ann"
    run.launch.environment["MODE"] = "fast"
    return run


def test_a_resumed_run_is_launched_as_it_was_and_linked() -> None:
    ended = _ended()

    order = order_to_resume(ended, _NEW_ID, _NOTHING)

    assert (order.run_id, order.resumed_run_id) == (_NEW_ID, CHILD_ID)
    assert order.launch == ended.launch
    assert order.runner == "local"
    assert (order.name, list(order.tags)) == ("epsilon=0.02", ["digits", "quick"])
    assert order.parameters == ended.parameters


def test_nothing_of_how_it_went_is_repeated() -> None:
    order = order_to_resume(_ended(), _NEW_ID, _NOTHING)

    assert not order.state
    assert not order.actions
    assert not order.HasField("result")
    assert not order.parent_run_id


def test_what_is_said_goes_before_what_was_recorded() -> None:
    given = Given({"MODE": "slow", "MORE": "1"}, {"epsilon": Value(number_value=0.1)})

    order = order_to_resume(_ended(), _NEW_ID, given)

    assert dict(order.launch.environment) == {"MODE": "slow", "MORE": "1"}
    assert order.parameters["epsilon"].number_value == 0.1
    assert order.parameters["model"].string_value == "svc"


def test_what_was_masked_is_asked_for_by_name() -> None:
    ended = _ended()
    ended.launch.environment.update({"DB_PASSWORD": "***", "URL": "https://***@host"})
    ended.parameters["api_key"].string_value = "***"

    with pytest.raises(CommandError) as refused:
        order_to_resume(ended, _NEW_ID, Given({"URL": "https://me:x@host"}, {}))

    assert refused.value.code == 2
    assert refused.value.message.endswith("again: --env DB_PASSWORD=…, --param api_key=…")


def test_a_command_with_a_masked_secret_is_not_repeated() -> None:
    ended = _ended()
    ended.launch.command.append("--token=***")

    with pytest.raises(CommandError, match="cannot be repeated"):
        order_to_resume(ended, _NEW_ID, _NOTHING)


@pytest.mark.parametrize(
    ("run", "why"),
    [
        (parent(), "is a parent"),
        (child(), "is RUNNING: only what has ended"),
        (failed_child(), "was not launched"),
        (Run(run_id=CHILD_ID, launch=Launch()), "was not launched"),
    ],
)
def test_what_cannot_be_resumed_says_why(run: Run, why: str) -> None:
    with pytest.raises(CommandError, match=why) as refused:
        order_to_resume(run, _NEW_ID, _NOTHING)

    assert refused.value.code == 5
