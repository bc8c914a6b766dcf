import pytest

from support.control import (
    CONFIRMED,
    KILLED,
    NOT_PROVEN,
    UNCONFIRMED,
    conditions,
    results,
    running,
    step,
)
from support.runs import (
    FAILED,
    RUNNING,
    TERMINATED,
    Server,
    closed,
    state,
    sweep,
)
from trackside_protos.runs.v1 import run_state_pb2
from trackside_runs.errors import ActionNotAllowedError


async def test_a_kill_that_nobody_confirms_is_ended_by_force_and_on_the_record(
    server: Server,
) -> None:
    async with server.connect() as agent:
        run = await running(server, agent)
    killing = await server.kill(run.run_id)
    assert run_state_pb2.RUN_ACTION_FORCE_END in killing.actions

    ended = await server.force_end(run.run_id)

    assert (ended.state, ended.state_reason, conditions(ended)) == (TERMINATED, UNCONFIRMED, [])
    assert results(ended) == [NOT_PROVEN, NOT_PROVEN]
    assert [request.requester for request in ended.control_requests] == ["ann", "root"]
    assert not ended.control_requests[0].HasField("confirm_time")
    assert await server.force_end(run.run_id) == ended


async def test_who_comes_back_after_a_forced_end_is_still_asked_to_kill(server: Server) -> None:
    async with server.connect() as agent:
        run = await running(server, agent)
    await server.kill(run.run_id)
    await server.force_end(run.run_id)

    async with server.connect() as agent:
        await agent.until(lambda: bool(agent.commands))
        request_id = agent.commands[0].control.request_id
        await agent.report(run.run_id, step(request_id, CONFIRMED), state(FAILED), closed())

    proven = await server.get(run.run_id)
    assert (proven.state, proven.state_reason) == (TERMINATED, UNCONFIRMED)
    assert proven.control_requests[0].HasField("confirm_time")
    assert results(proven) == [NOT_PROVEN, NOT_PROVEN]


async def test_nothing_is_ended_by_force_that_was_not_killed(server: Server) -> None:
    run = await server.create()
    await server.stop(run.run_id)
    before = await server.get(run.run_id)

    with pytest.raises(ActionNotAllowedError):
        await server.force_end(run.run_id)

    assert await server.get(run.run_id) == before


async def test_a_forced_end_of_a_parent_ends_its_children(server: Server) -> None:
    parent = await server.create(sweep(parallelism=2, a=[1, 2, 3]))
    async with server.connect() as agent:
        for run_id in await agent.given(2):
            await agent.report(run_id, state(RUNNING))
    await server.kill(parent.run_id)

    ended = await server.force_end(parent.run_id)

    assert (ended.state, ended.children.counts["TERMINATED"]) == (TERMINATED, 3)


async def test_a_forced_end_of_a_parent_is_on_its_record_too(server: Server) -> None:
    parent = await server.create(sweep(a=[1]))
    async with server.connect() as agent:
        await agent.given()
    await server.kill(parent.run_id)

    ended = await server.force_end(parent.run_id)

    assert (ended.state_reason, results(ended)) == (UNCONFIRMED, [NOT_PROVEN, NOT_PROVEN])
    assert ended.state_message == "Ended by root without proof that nothing of it is left."
    assert [request.requester for request in ended.control_requests] == ["ann", "root"]
    assert not any(request.HasField("confirm_time") for request in ended.control_requests)
    assert await server.force_end(parent.run_id) == ended


async def test_the_end_of_a_parent_proves_no_more_than_those_of_its_children(
    server: Server,
) -> None:
    parent = await server.create(sweep(a=[1, 2]))
    async with server.connect() as agent:
        first, second = await agent.given(2)
        await server.kill(parent.run_id)
        await server.force_end(first)
        await agent.report(second, state(FAILED, exit_signal=9))

    ended = await server.get(parent.run_id)
    assert (ended.state, ended.state_reason, results(ended)) == (TERMINATED, KILLED, [NOT_PROVEN])
    assert not ended.control_requests[0].HasField("confirm_time")
