from typing import Any

import grpc
import pytest

from support.scripted_server import HangUntilCancelled, Refused, ScriptedServer
from trackside.client.async_handle import AsyncRunHandle
from trackside.client.connection import Connection
from trackside.client.deletions import KeptOutput, OutputsDeletion
from trackside.client.errors import (
    CallTimeoutError,
    ConflictError,
    InvalidRequestError,
    NotFoundError,
)
from trackside.client.handle import RunHandle, get_run
from trackside_protos.runs.v1 import output_deletion_pb2
from trackside_protos.runs.v1.output_pb2 import Output
from trackside_protos.runs.v1.run_pb2 import ControlRequest, Run
from trackside_protos.runs.v1.run_state_pb2 import RunAction, RunState
from trackside_protos.runs.v1.runs_service_pb2 import (
    DeleteOutputsResponse,
    GetRunResponse,
    ListOutputsResponse,
    RunListChange,
    WatchRunsResponse,
)

ID = "7k2m000000000000"
REQUEST_ID = "r000000000000000"


def run(**result: Any) -> Run:
    """Return a run of which outputs are to be deleted, and what came of that, if anything did."""
    found = Run(run_id=ID, name="ridge", state=RunState.RUN_STATE_COMPLETED)
    request = ControlRequest(
        request_id=REQUEST_ID, action=RunAction.RUN_ACTION_DELETE_OUTPUTS, requester="ann"
    )
    request.outputs_deletion.requested_count = 3
    if result:
        request.confirm_time.FromSeconds(1)
        request.outputs_deletion.MergeFrom(output_deletion_pb2.OutputsDeletion(**result))
    found.control_requests.append(request)
    return found


def ordered(found: Run) -> DeleteOutputsResponse:
    return DeleteOutputsResponse(run=found, request=found.control_requests[-1], output_count=3)


@pytest.fixture
def handle(server: ScriptedServer, connection: Connection) -> RunHandle:
    server.answers["GetRun"] = GetRunResponse(run=run())
    server.answers["DeleteOutputs"] = ordered(run())
    return get_run(ID, connection=connection)


def becoming(*responses: WatchRunsResponse) -> list[Any]:
    return [WatchRunsResponse(present=[run()], cursor="c0"), *responses, HangUntilCancelled()]


def test_the_word_of_the_agent_is_waited_for(server: ScriptedServer, handle: RunHandle) -> None:
    kept = output_deletion_pb2.KeptOutput(
        path="plot",
        reason=output_deletion_pb2.KEPT_REASON_CHANGED,
        message="it has other contents than were published",
    )
    told = run(deleted_count=1, deleted_bytes=10, absent_count=1, kept_count=1, kept_outputs=[kept])
    server.answers["WatchRuns"] = becoming(
        WatchRunsResponse(changes=[RunListChange(run=told)], cursor="c1")
    )

    outcome = handle.delete_outputs("delete", timeout=60)

    assert outcome == OutputsDeletion(
        deleted_count=1,
        deleted_bytes=10,
        absent_count=1,
        kept_count=1,
        kept=(KeptOutput("plot", "CHANGED", "it has other contents than were published"),),
    )
    [asked] = server.requests["DeleteOutputs"]
    assert (asked.run_id, asked.confirmation, list(asked.paths)) == (ID, "delete", [])
    assert server.requests["WatchRuns"][0].filter == f'run_id = "{ID}"'


def test_without_waiting_nothing_is_known_yet(server: ScriptedServer, handle: RunHandle) -> None:
    outcome = handle.delete_outputs("delete", "model", wait=False)

    assert outcome == OutputsDeletion(is_confirmed=False)
    assert list(server.requests["DeleteOutputs"][0].paths) == ["model"]
    assert not server.requests["WatchRuns"]


def test_what_is_confirmed_at_once_is_not_waited_for(
    server: ScriptedServer, handle: RunHandle
) -> None:
    server.answers["DeleteOutputs"] = ordered(run(absent_count=3))

    assert handle.delete_outputs("delete").absent_count == 3
    assert not server.requests["WatchRuns"]


def test_many_paths_are_named_bit_by_bit(server: ScriptedServer, handle: RunHandle) -> None:
    server.answers["DeleteOutputs"] = ordered(run(deleted_count=1))

    handle.delete_outputs("delete", *(str(number) for number in range(2_500)))

    assert [len(asked.paths) for asked in server.requests["DeleteOutputs"]] == [1000, 1000, 500]


def test_a_wait_for_an_agent_that_is_away_ends_in_time(
    server: ScriptedServer, handle: RunHandle
) -> None:
    server.answers["WatchRuns"] = becoming()

    with pytest.raises(CallTimeoutError, match=r"has not confirmed after 0\.05 seconds"):
        handle.delete_outputs("delete", timeout=0.05)


def test_a_run_that_is_deleted_meanwhile_is_waited_for_no_longer(
    server: ScriptedServer, handle: RunHandle
) -> None:
    server.answers["WatchRuns"] = becoming(
        WatchRunsResponse(changes=[RunListChange(left_run_id=ID)], cursor="c1")
    )

    with pytest.raises(NotFoundError, match="was deleted meanwhile"):
        handle.delete_outputs("delete")


@pytest.mark.parametrize(
    ("reason", "hint"),
    [
        ("UNSAFE_DIRECTORY", "--workdir"),
        ("OUTPUTS_UNREACHABLE", "get outputs RUN -o wide"),
        ("ACTION_NOT_ALLOWED", "describe RUN"),
    ],
)
def test_a_refusal_says_what_to_do(
    server: ScriptedServer, handle: RunHandle, reason: str, hint: str
) -> None:
    server.answers["DeleteOutputs"] = Refused(grpc.StatusCode.FAILED_PRECONDITION, reason, "No.")

    with pytest.raises(ConflictError) as raised:
        handle.delete_outputs("delete")

    assert hint in raised.value.hint


def test_another_word_is_refused(server: ScriptedServer, handle: RunHandle) -> None:
    server.answers["DeleteOutputs"] = Refused(
        grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD", "confirmation: is not the word `delete`"
    )

    with pytest.raises(InvalidRequestError):
        handle.delete_outputs("yes")

    assert server.requests["DeleteOutputs"][0].confirmation == "yes"


def test_one_output_is_deleted_by_itself(server: ScriptedServer, handle: RunHandle) -> None:
    server.answers["DeleteOutputs"] = ordered(run(deleted_count=1))
    server.answers["ListOutputs"] = ListOutputsResponse(
        outputs=[Output(path="model", exists=True), Output(path="plot", exists=True)]
    )

    assert handle.outputs().named("plot").delete("delete").deleted_count == 1
    assert list(server.requests["DeleteOutputs"][0].paths) == ["plot"]


async def test_both_are_there_for_asyncio(server: ScriptedServer, handle: RunHandle) -> None:
    server.answers["DeleteOutputs"] = ordered(run(deleted_count=1))
    server.answers["ListOutputs"] = ListOutputsResponse(outputs=[Output(path="model", exists=True)])
    asynchronous = AsyncRunHandle(handle)

    whole = await asynchronous.delete_outputs("delete", timeout=60)
    one = await (await asynchronous.outputs()).named("model").delete("delete")

    assert (whole.deleted_count, one.deleted_count) == (1, 1)
    assert [list(asked.paths) for asked in server.requests["DeleteOutputs"]] == [[], ["model"]]


def test_what_is_gone_is_not_counted(server: ScriptedServer, handle: RunHandle) -> None:
    server.answers["ListOutputs"] = ListOutputsResponse(
        outputs=[
            Output(path="model", size_bytes=1000, compressed_bytes=400, exists=False),
            Output(path="plot", size_bytes=100, compressed_bytes=40, exists=True),
        ]
    )

    outputs = handle.outputs()

    assert (outputs.size_bytes, outputs.archive_bytes) == (100, 40)
    assert str(outputs).splitlines()[0] == "Archive size: 40 B"
    assert "model (gone)" in str(outputs)
