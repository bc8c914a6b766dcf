from collections.abc import AsyncIterator

import pytest

from support.conditions import until
from support.control import TIMES, steps
from support.deleting import (
    carry_out,
    delete,
    directory,
    ended,
    listed,
    noted,
    ordered,
    orders,
    request_of,
    tell,
    until_told,
)
from support.reads import output
from support.runs import (
    ADMIN,
    AGENT,
    BOB,
    COMPLETED,
    SDK,
    Agent,
    Cluster,
    Report,
    Server,
    closed,
    each,
    launched,
    new_run_id,
    state,
    sweep,
)
from trackside_protos.runners.v1.runners_service_pb2 import (
    ConnectRequest,
    ConnectResponse,
    DeletionReport,
    Hello,
)
from trackside_protos.runs.v1 import run_pb2, run_state_pb2, runs_service_pb2
from trackside_protos.runs.v1.output_deletion_pb2 import KeptOutput, KeptReason, OutputsDeletion
from trackside_protos.runs.v1.provenance_pb2 import Machine, Provenance
from trackside_runs import deletion_calls
from trackside_runs.errors import (
    ActionNotAllowedError,
    OutputsUnreachableError,
    UnsafeDirectoryError,
)
from trackside_serving.calls import Call
from trackside_serving.errors import (
    InvalidFieldError,
    NotAllowedError,
    PartNotFoundError,
    RunNotFoundError,
    TooManyItemsError,
)
from trackside_serving.identity import Caller, Role

DELETED = run_pb2.CONTROL_RESULT_DELETED
KEPT = run_pb2.CONTROL_RESULT_KEPT
NOTHING_FOUND = run_pb2.CONTROL_RESULT_NOTHING_FOUND
DELETE_OUTPUTS = run_state_pb2.RUN_ACTION_DELETE_OUTPUTS


@pytest.fixture
async def agent(server: Server) -> AsyncIterator[Agent]:
    async with server.connect() as agent:
        yield agent


async def test_outputs_are_ordered_to_be_deleted_as_they_were_published(
    server: Server, agent: Agent
) -> None:
    run = await ended(
        server, agent, directory(), output("model", checksum="sha256:1"), output("plot")
    )

    answer = await delete(server, run)
    order = await ordered(agent)

    assert (order.run_id, order.runner) == (run.run_id, "local")
    assert order.request_id == answer.request.request_id
    assert (order.directory.path, order.directory.identity) == ("/data", "1:2")
    assert [one.path for one in order.outputs] == ["model", "plot"]
    assert [one.location for one in order.outputs] == ["/data/model", "/data/plot"]
    assert order.outputs[0].checksum == "sha256:1"
    assert order.is_last
    assert (answer.output_count, answer.size_bytes) == (2, 20)
    assert answer.request.outputs_deletion.requested_count == 2


async def test_every_step_is_on_the_record(server: Server, agent: Agent) -> None:
    run = await ended(server, agent)

    await delete(server, run)
    order = await ordered(agent)
    delivered = steps(await server.get(run.run_id))
    tell(agent, order)
    await until_told(server, run, "acknowledge_time")
    acknowledged = steps(await server.get(run.run_id))
    carry_out(agent, order)
    request = await until_told(server, run)

    assert delivered == list(TIMES[:2])
    assert acknowledged == list(TIMES[:3])
    assert steps(await server.get(run.run_id)) == list(TIMES)
    assert (request.action, request.requester) == (DELETE_OUTPUTS, "ann")
    assert request.result == DELETED
    assert (request.outputs_deletion.deleted_count, request.outputs_deletion.deleted_bytes) == (
        2,
        20,
    )


async def test_what_is_gone_says_so_as_an_output_and_to_watchers(
    server: Server, agent: Agent
) -> None:
    run = await ended(server, agent)
    before = (await server.get(run.run_id)).sequence

    await delete(server, run, "plot")
    carry_out(agent, await ordered(agent))
    await until_told(server, run)

    outputs = await listed(server, run)
    assert {path: one.exists for path, one in outputs.items()} == {"model": True, "plot": False}
    changes = [one for one in await server.changes(run.run_id) if one.sequence > before]
    assert [one.output.path for one in changes if one.HasField("output")] == ["plot"]


async def test_an_order_is_handed_over_again_until_its_end_is_noted(server: Server) -> None:
    async with server.connect() as first:
        run = await ended(server, first)
        await delete(server, run)
        tell(first, await ordered(first))
        await until_told(server, run, "acknowledge_time")

    async with server.connect() as second:
        order = await ordered(second)
        carry_out(second, order)
        await second.until(lambda: noted(second) == [order.request_id])

    async with server.connect() as third:
        await third.welcomed()
        await ended(server, third)  # what it is given comes after what it was to be handed
        assert not orders(third)


async def test_the_end_that_is_an_agents_last_word_is_noted(server: Server) -> None:
    async with server.connect() as agent:
        run = await ended(server, agent)
        await delete(server, run)
        order = await ordered(agent)
    hello = Hello(agent_id=agent.agent_id, host="box")
    end = DeletionReport(
        run_id=run.run_id, request_id=order.request_id, result=OutputsDeletion(deleted_count=2)
    )
    said = [
        ConnectRequest(hello=hello).SerializeToString(),
        ConnectRequest(deletion=end).SerializeToString(),
    ]

    stream = server.handler("Connect")(each(said), Call(AGENT))
    answers = [ConnectResponse.FromString(raw) async for raw in stream]

    assert answers[-1].deletion_noted.request_id == order.request_id


async def test_the_end_may_be_told_twice(server: Server, agent: Agent) -> None:
    run = await ended(server, agent)
    await delete(server, run)
    order = await ordered(agent)
    carry_out(agent, order)
    await agent.until(lambda: len(noted(agent)) == 1)
    before = await server.get(run.run_id)

    carry_out(agent, order)
    await agent.until(lambda: len(noted(agent)) == 2)

    assert await server.get(run.run_id) == before


async def test_an_order_of_many_outputs_comes_in_pages(server: Server, agent: Agent) -> None:
    names = [f"{'x' * 900}-{number}" for number in range(400)]
    run = await ended(server, agent, directory(), *(output(name) for name in names))

    answer = await delete(server, run)
    await agent.until(lambda: bool(orders(agent)) and orders(agent)[-1].is_last)

    assert len(orders(agent)) > 1
    assert [one.is_last for one in orders(agent)[:-1]] == [False] * (len(orders(agent)) - 1)
    assert sorted(one.path for page in orders(agent) for one in page.outputs) == sorted(names)
    assert answer.output_count == 400


async def test_what_was_published_anew_meanwhile_still_exists(server: Server, agent: Agent) -> None:
    run = await ended(server, agent)
    await delete(server, run)
    order = await ordered(agent)

    await agent.report(run.run_id, output("model", size_bytes=11))
    carry_out(agent, order)
    await until_told(server, run)

    outputs = await listed(server, run)
    assert {path: one.exists for path, one in outputs.items()} == {"model": True, "plot": False}


async def test_what_was_kept_is_told_with_the_reason(server: Server, agent: Agent) -> None:
    run = await ended(server, agent)
    await delete(server, run)
    kept = KeptOutput(
        path="model", reason=KeptReason.KEPT_REASON_CHANGED, message="it was written since"
    )

    carry_out(agent, await ordered(agent), deleted_count=1, kept_count=1, kept_outputs=[kept])
    request = await until_told(server, run)

    assert request.result == KEPT
    assert list(request.outputs_deletion.kept_outputs) == [kept]
    assert (await listed(server, run))["model"].exists


async def test_nothing_that_was_there_is_told_as_nothing_found(
    server: Server, agent: Agent
) -> None:
    run = await ended(server, agent)
    await delete(server, run)

    carry_out(agent, await ordered(agent), absent=True, absent_count=2)
    request = await until_told(server, run)

    assert request.result == NOTHING_FOUND
    assert not any(one.exists for one in (await listed(server, run)).values())


async def test_what_is_on_another_machine_is_not_said_to_be_gone(
    server: Server, agent: Agent
) -> None:
    elsewhere = Report(provenance=Provenance(machine=Machine(host="elsewhere")))
    run = await ended(server, agent, directory(), output("model"), output("plot"), elsewhere)
    await delete(server, run, "model")
    carry_out(agent, await ordered(agent), absent=True, absent_count=1)
    await until_told(server, run)

    await delete(server, run, "plot")
    carry_out(agent, await ordered(agent, 2))
    await until_told(server, run)

    outputs = await listed(server, run)
    assert {path: one.exists for path, one in outputs.items()} == {"model": True, "plot": False}


async def test_to_ask_again_while_it_goes_on_adds_only_what_is_new(
    server: Server, agent: Agent
) -> None:
    run = await ended(server, agent)
    first = (await delete(server, run, "plot")).request

    second = (await delete(server, run)).request
    third = (await delete(server, run)).request

    assert first.request_id != second.request_id == third.request_id
    await ordered(agent, 2)
    told = sorted([one.path for one in page.outputs] for page in orders(agent))
    assert told == [["model"], ["plot"]]


async def test_to_ask_again_afterwards_changes_nothing(server: Server, agent: Agent) -> None:
    run = await ended(server, agent)
    await delete(server, run)
    carry_out(agent, await ordered(agent))
    request = await until_told(server, run)

    again = await delete(server, run)

    assert again.request == request
    assert again.output_count == 0


async def test_a_run_without_outputs_has_nothing_to_delete(server: Server, agent: Agent) -> None:
    run = await ended(server, agent, directory())

    request = (await delete(server, run)).request

    assert request.result == NOTHING_FOUND
    assert request.HasField("confirm_time")


async def test_the_word_has_to_be_given(server: Server, agent: Agent) -> None:
    run = await ended(server, agent)

    for word in ("", "yes", "Delete", "delete "):
        with pytest.raises(InvalidFieldError) as raised:
            await delete(server, run, confirmation=word)
        assert raised.value.violations[0].field == "confirmation"

    assert not (await server.get(run.run_id)).control_requests


async def test_to_validate_only_asks_nothing_of_the_agent(server: Server, agent: Agent) -> None:
    run = await ended(server, agent)

    answer = await delete(server, run, confirmation="", validate_only=True)

    assert [one.path for one in answer.outputs] == ["model", "plot"]
    assert (answer.output_count, answer.size_bytes) == (2, 20)
    assert not answer.HasField("request")
    assert not (await server.get(run.run_id)).control_requests


async def test_only_the_owner_and_admins_may(server: Server, agent: Agent) -> None:
    run = await ended(server, agent)
    strangers = [
        BOB,
        Caller("eve", Role.VIEWER),
        Caller("run", Role.REPORTER, run_ids=frozenset({new_run_id()})),
    ]

    for stranger in strangers:
        with pytest.raises(RunNotFoundError):
            await delete(server, run, caller=stranger)
    for reader in (
        Caller("vic", Role.VIEWER, projects=frozenset({"default"})),
        Caller("ben", Role.USER, projects=frozenset({"default"})),
        Caller("run", Role.REPORTER, run_ids=frozenset({run.run_id})),
        AGENT,
    ):
        with pytest.raises(NotAllowedError):
            await delete(server, run, caller=reader)
    answer = await delete(server, run, caller=ADMIN)

    assert answer.request.requester == "root"


async def test_a_run_that_is_at_work_keeps_its_outputs(server: Server, agent: Agent) -> None:
    run = await server.create(launched())
    await until(lambda: run.run_id in agent.assigned)
    await agent.report(run.run_id, directory(), output())

    with pytest.raises(ActionNotAllowedError) as raised:
        await delete(server, run)

    assert raised.value.metadata["action"] == "DELETE_OUTPUTS"
    assert DELETE_OUTPUTS not in (await server.get(run.run_id)).actions


async def test_a_run_that_no_agent_launched_is_out_of_reach(server: Server) -> None:
    run = await server.create()
    await server.report(run.run_id, output(), state(COMPLETED), closed())

    with pytest.raises(OutputsUnreachableError):
        await delete(server, run)


async def test_a_parent_has_published_nothing_itself(server: Server) -> None:
    parent = await server.create(sweep(x=[1]))
    await server.kill(parent.run_id)

    with pytest.raises(OutputsUnreachableError, match="the outputs of its children"):
        await delete(server, parent)


async def test_a_run_without_a_recorded_directory_is_out_of_reach(
    server: Server, agent: Agent
) -> None:
    run = await ended(server, agent, output())

    with pytest.raises(OutputsUnreachableError, match="recorded no directory"):
        await delete(server, run)


async def test_an_unsafe_directory_is_refused_at_once(server: Server, agent: Agent) -> None:
    run = await ended(
        server, agent, directory("/home/ann", hazard="it is the home of a user"), output()
    )

    with pytest.raises(UnsafeDirectoryError, match="it is the home of a user") as raised:
        await delete(server, run, validate_only=True)

    assert raised.value.metadata == {"directory": "/home/ann"}
    assert DELETE_OUTPUTS not in (await server.get(run.run_id)).actions


@pytest.mark.parametrize(
    ("theirs", "is_refused"),
    [
        ("/data/mine/theirs", True),
        ("/data/mine/a/b/c", True),
        ("/data/mine/" + "x" * 2000, True),
        ("/data/mine", False),
        ("/data", False),
        ("/data/mine-too", False),
        ("/data/mine0/x", False),
    ],
)
async def test_a_directory_that_holds_another_runs_directory_is_refused(
    server: Server, agent: Agent, theirs: str, *, is_refused: bool
) -> None:
    await ended(server, agent, directory(theirs))
    run = await ended(server, agent, directory("/data/mine"), output())

    if is_refused:
        with pytest.raises(UnsafeDirectoryError, match="holds the directory of another run"):
            await delete(server, run)
    else:
        assert (await delete(server, run)).output_count == 1


async def test_the_directory_is_the_one_that_the_agent_said_first(
    server: Server, agent: Agent
) -> None:
    run = await server.create(launched())
    await until(lambda: run.run_id in agent.assigned)

    await server.report(run.run_id, directory("/by/the/program"), producer_id=SDK)
    await agent.report(run.run_id, directory("/data"))
    await agent.report(run.run_id, directory("/etc"))

    assert (await server.get(run.run_id)).output_directory.path == "/data"


@pytest.mark.parametrize("path", ["", "data", "/data/../etc", "/a\0b"])
async def test_a_directory_has_a_plain_absolute_path(
    server: Server, agent: Agent, path: str
) -> None:
    run = await server.create(launched())
    await until(lambda: run.run_id in agent.assigned)

    with pytest.raises(InvalidFieldError):
        await agent.report(run.run_id, directory(path))


async def test_what_was_never_published_is_no_output(server: Server, agent: Agent) -> None:
    run = await ended(server, agent)

    with pytest.raises(PartNotFoundError) as raised:
        await delete(server, run, "model", "nothing")

    assert raised.value.metadata == {"path": "nothing"}


async def test_too_many_outputs_are_to_be_named(
    server: Server, agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deletion_calls, "MOST_OUTPUTS", 1)
    run = await ended(server, agent)

    with pytest.raises(TooManyItemsError):
        await delete(server, run)
    assert (await delete(server, run, "model")).output_count == 1


async def test_the_action_is_offered_with_the_first_output(server: Server, agent: Agent) -> None:
    run = await ended(server, agent, directory())
    before = (await server.get(run.run_id)).actions

    await agent.report(run.run_id, output())

    assert DELETE_OUTPUTS not in before
    assert DELETE_OUTPUTS in (await server.get(run.run_id)).actions


async def test_an_order_ends_with_the_deletion_of_its_run(server: Server) -> None:
    async with server.connect() as agent:
        run = await ended(server, agent)
    await delete(server, run)
    await server.call("DeleteRun", runs_service_pb2.DeleteRunRequest(run_id=run.run_id))

    async with server.connect() as agent:
        await agent.welcomed()
        await ended(server, agent)
        assert not orders(agent)


async def test_the_end_of_a_deleted_runs_deletion_is_noted(server: Server, agent: Agent) -> None:
    run = await ended(server, agent)
    await delete(server, run)
    order = await ordered(agent)
    await server.call("DeleteRun", runs_service_pb2.DeleteRunRequest(run_id=run.run_id))

    carry_out(agent, order)

    await agent.until(lambda: noted(agent) == [order.request_id])


async def test_another_agent_can_confirm_nothing(server: Server, agent: Agent) -> None:
    run = await ended(server, agent)
    await delete(server, run)
    order = await ordered(agent)

    async with server.connect("agent-2") as other:
        carry_out(other, order)
        await other.until(lambda: noted(other) == [order.request_id])

    assert not (await request_of(server, run)).HasField("confirm_time")
    assert all(one.exists for one in (await listed(server, run)).values())


async def test_another_replica_hands_the_order_over(cluster: Cluster) -> None:
    async with cluster.other.connect() as agent:
        run = await ended(cluster.other, agent)

        await delete(cluster.one, run)
        carry_out(agent, await ordered(agent))
        request = await until_told(cluster.one, run)

    assert request.result == DELETED
