import pytest
from google.protobuf.duration_pb2 import Duration

from support.control import (
    ACKNOWLEDGED,
    CONFIRMED,
    ENDED,
    ESCALATED,
    KILLED,
    KILLING,
    NOTHING_FOUND,
    STOPPED,
    TIMES,
    conditions,
    results,
    running,
    step,
    steps,
)
from support.runs import (
    BOB,
    COMPLETED,
    FAILED,
    RUNNING,
    STOPPING,
    TERMINATED,
    Cluster,
    Server,
    closed,
    launched,
    state,
    sweep,
)
from trackside_protos.runs.v1 import run_state_pb2
from trackside_runs.errors import ActionNotAllowedError
from trackside_serving.errors import InvalidFieldError, NotAllowedError, RunNotFoundError
from trackside_serving.identity import Caller, Role


async def test_a_launched_run_is_stopped_step_by_step(cluster: Cluster) -> None:
    async with cluster.one.connect() as agent:
        run = await running(cluster.one, agent)

        stopping = await cluster.other.stop(run.run_id, grace_duration=Duration(seconds=90))
        assert (stopping.state, conditions(stopping)) == (RUNNING, [])
        assert run_state_pb2.RUN_ACTION_STOP not in stopping.actions
        assert run_state_pb2.RUN_ACTION_KILL in stopping.actions

        await agent.until(lambda: bool(agent.commands))
        asked = agent.commands[0].control
        assert (asked.action, asked.grace_duration.seconds) == (run_state_pb2.RUN_ACTION_STOP, 90)

        await agent.report(run.run_id, step(asked.request_id, ACKNOWLEDGED))
        acknowledged = await cluster.one.get(run.run_id)
        assert (acknowledged.state, acknowledged.state_reason) == (STOPPING, STOPPED)

        await agent.report(run.run_id, step(asked.request_id, ESCALATED))
        assert conditions(await cluster.one.get(run.run_id)) == [KILLING]

        await agent.report(
            run.run_id, step(asked.request_id, CONFIRMED), state(FAILED, exit_signal=9), closed()
        )
        ended = await cluster.one.get(run.run_id)
        assert (ended.state, ended.state_reason, conditions(ended)) == (TERMINATED, STOPPED, [])
        assert steps(ended) == list(TIMES)
        assert ended.control_requests[0].HasField("escalate_time")
        assert results(ended) == [ENDED]


async def test_a_stop_without_a_grace_time_gives_ten_seconds(server: Server) -> None:
    run = await server.create()

    stopping = await server.stop(run.run_id)

    assert stopping.control_requests[0].grace_duration.seconds == 10
    assert not stopping.control_requests[0].HasField("escalate_time")


@pytest.mark.parametrize("seconds", [-1, 86_401])
async def test_a_grace_time_that_cannot_be_is_refused(server: Server, seconds: int) -> None:
    run = await server.create()

    with pytest.raises(InvalidFieldError) as refused:
        await server.stop(run.run_id, grace_duration=Duration(seconds=seconds))

    assert refused.value.violations[0].field == "grace_duration"
    assert (await server.get(run.run_id)).control_requests == []


async def test_a_second_stop_returns_the_same(server: Server) -> None:
    run = await server.create()
    first = await server.stop(run.run_id)

    assert await server.stop(run.run_id, grace_duration=Duration(seconds=1)) == first
    await server.report(run.run_id, state(TERMINATED))
    assert (await server.stop(run.run_id)).state == TERMINATED


async def test_a_kill_overtakes_a_stop_and_a_stop_adds_nothing_to_a_kill(server: Server) -> None:
    async with server.connect() as agent:
        run = await running(server, agent)
        await server.stop(run.run_id)
        killing = await server.kill(run.run_id)
        assert conditions(killing) == [KILLING]
        assert len((await server.stop(run.run_id)).control_requests) == 2
        await agent.until(lambda: len(agent.commands) == 2)

        await agent.report(
            run.run_id,
            *(step(command.control.request_id, CONFIRMED) for command in agent.commands),
            state(FAILED, exit_signal=9),
        )

        ended = await server.get(run.run_id)
        assert (ended.state, ended.state_reason) == (TERMINATED, KILLED)
        assert results(ended) == [ENDED, ENDED]


async def test_a_stop_that_found_nothing_says_so(server: Server) -> None:
    async with server.connect() as agent:
        run = await running(server, agent)
        await server.stop(run.run_id)
        await agent.until(lambda: bool(agent.commands))
        request_id = agent.commands[0].control.request_id

        await agent.report(run.run_id, step(request_id, ACKNOWLEDGED))
        await agent.report(
            run.run_id, state(COMPLETED), step(request_id, CONFIRMED, nothing_found=True), closed()
        )

        assert results(await server.get(run.run_id)) == [NOTHING_FOUND]


async def test_a_stop_of_what_nobody_has_begun_ends_it_at_once(server: Server) -> None:
    run = await server.create(launched())

    stopped = await server.stop(run.run_id)

    assert (stopped.state, stopped.state_reason, stopped.sealed) == (TERMINATED, STOPPED, True)
    assert results(stopped) == [NOTHING_FOUND]


async def test_a_stop_of_an_idle_run_keeps_its_outcome(server: Server) -> None:
    run = await server.create(termination_protection=True)
    await server.report(run.run_id, state(COMPLETED), closed())

    stopped = await server.stop(run.run_id)

    assert (stopped.state, stopped.outcome) == (TERMINATED, COMPLETED)


async def test_a_stop_of_a_parent_goes_to_all_children(cluster: Cluster) -> None:
    parent = await cluster.one.create(sweep(parallelism=1, a=[1, 2, 3], is_closed=False))
    async with cluster.one.connect() as agent:
        [first] = await agent.given()
        await agent.report(first, state(RUNNING))

        stopping = await cluster.other.stop(parent.run_id, grace_duration=Duration(seconds=7))

        assert stopping.closed
        assert conditions(stopping) == []
        await agent.until(lambda: bool(agent.commands))
        assert agent.commands[0].control.grace_duration.seconds == 7
        await agent.report(first, state(FAILED, exit_code=143))
        ended = await cluster.one.get(parent.run_id)
        assert (ended.state, ended.state_reason) == (TERMINATED, STOPPED)
        assert dict(ended.children.counts) == {"TERMINATED": 3}
        assert results(ended) == [ENDED]


async def test_only_the_owner_and_admins_stop(server: Server) -> None:
    run = await server.create(project="blue")
    member = Caller("bob", Role.USER, projects=frozenset({"blue"}))

    with pytest.raises(RunNotFoundError):
        await server.stop(run.run_id, BOB)
    with pytest.raises(NotAllowedError):
        await server.stop(run.run_id, member)
    assert (await server.get(run.run_id)).control_requests == []


async def test_an_ended_run_cannot_be_stopped(server: Server) -> None:
    run = await server.create()
    await server.report(run.run_id, state(COMPLETED))

    with pytest.raises(ActionNotAllowedError) as refused:
        await server.stop(run.run_id)

    assert refused.value.metadata["action"] == "STOP"
