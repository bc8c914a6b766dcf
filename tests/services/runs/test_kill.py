import asyncio
from collections.abc import AsyncIterator

import pytest

from support.conditions import until
from support.control import (
    ACKNOWLEDGED,
    CONFIRMED,
    KILLED,
    NOTHING_FOUND,
    TIMES,
    Session,
    conditions,
    results,
    running,
    step,
    steps,
    until_state,
)
from support.runs import (
    ADMIN,
    BOB,
    COMPLETED,
    FAILED,
    IDLE,
    PENDING,
    RUNNING,
    TERMINATED,
    Cluster,
    Run,
    Server,
    closed,
    launched,
    state,
    sweep,
    task,
)
from trackside_journal.errors import StoreUnavailableError
from trackside_protos.runs.v1 import run_pb2, run_state_pb2, runs_service_pb2
from trackside_runs import desk
from trackside_runs.errors import ActionNotAllowedError
from trackside_serving.calls import Call
from trackside_serving.errors import NotAllowedError, RunNotFoundError
from trackside_serving.identity import Caller, Role


async def test_a_launched_run_is_killed_with_proof(cluster: Cluster) -> None:
    async with cluster.one.connect() as agent:
        run = await running(cluster.one, agent)
        await agent.report(run.run_id, task("t", "RUNNING"))

        killing = await cluster.other.kill(run.run_id)
        assert (killing.state, conditions(killing)) == (
            RUNNING,
            [run_state_pb2.CONDITION_KIND_KILLING],
        )
        assert run_state_pb2.RUN_ACTION_KILL not in killing.actions
        assert "acknowledge_time" not in steps(killing)
        assert killing.control_requests[0].requester == "ann"

        await agent.until(lambda: bool(agent.commands))
        request_id = agent.commands[0].control.request_id
        assert agent.commands[0].run_id == run.run_id
        assert steps(await cluster.one.get(run.run_id)) == ["request_time", "deliver_time"]

        await agent.report(run.run_id, step(request_id, ACKNOWLEDGED))
        assert steps(await cluster.one.get(run.run_id)) == list(TIMES[:3])

        await agent.report(
            run.run_id, step(request_id, CONFIRMED), state(FAILED, exit_signal=9), closed()
        )
        ended = await cluster.one.get(run.run_id)
        assert (ended.state, ended.state_reason) == (TERMINATED, KILLED)
        assert steps(ended) == list(TIMES)
        assert conditions(ended) == []
        assert ended.task_counts.aborted == 1
        assert ended.sealed


async def test_a_session_is_asked_on_its_own_stream(cluster: Cluster) -> None:
    run = await cluster.one.create()
    session = Session(cluster.other, run.run_id)
    session.report(state(RUNNING))
    await until_state(cluster.one, run, RUNNING)

    await cluster.one.kill(run.run_id)
    request_id = await session.request_id()
    assert session.asked[0].control_run_id == run.run_id
    session.report(step(request_id, ACKNOWLEDGED))
    session.report(step(request_id, CONFIRMED), state(TERMINATED), closed())
    await session.end()

    ended = await cluster.one.get(run.run_id)
    assert (ended.state, ended.state_reason, ended.sealed) == (TERMINATED, KILLED, True)
    assert steps(ended) == list(TIMES)
    assert len(session.asked) == 1


async def test_a_request_is_handed_over_again_on_each_new_stream(server: Server) -> None:
    run = await server.create()
    first = Session(server, run.run_id)
    first.report(state(RUNNING))
    await until_state(server, run, RUNNING)
    await server.kill(run.run_id)
    request_id = await first.request_id()
    await first.end()

    second = Session(server, run.run_id)
    second.report(task("t", "RUNNING"))
    assert await second.request_id() == request_id
    second.report(step(request_id, ACKNOWLEDGED))
    await second.end()
    third = Session(server, run.run_id)
    third.report(state(COMPLETED))
    await third.end()

    assert third.asked == []
    assert (await server.get(run.run_id)).state == TERMINATED


async def test_a_request_that_the_store_did_not_give_is_handed_over_later(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = await server.create()
    session = Session(server, run.run_id)
    session.report(state(RUNNING))
    await until_state(server, run, RUNNING)
    outages = [StoreUnavailableError()]
    read = desk.control_request

    def read_after_an_outage(run: Run | None, request_id: str) -> run_pb2.ControlRequest | None:
        if outages:
            raise outages.pop()
        return read(run, request_id)

    monkeypatch.setattr(desk, "control_request", read_after_an_outage)
    await server.kill(run.run_id)
    await until(lambda: not outages)
    server.application._desk.wake()

    session.report(step(await session.request_id(), ACKNOWLEDGED))
    await session.end()
    assert steps(await server.get(run.run_id)) == list(TIMES[:3])


async def test_a_request_is_for_the_runs_that_a_stream_may_report_on(server: Server) -> None:
    victim = await server.create()
    await server.report(victim.run_id, state(RUNNING))
    own = await server.create(caller=BOB, producer_id="other")
    eavesdropper = Session(server, own.run_id)
    await server.kill(victim.run_id)

    bob = Caller("bob", Role.USER)
    stream = server.handler("ReportRun")(
        slowly(server.batch(own.run_id, state(RUNNING))), Call(bob)
    )
    responses = [runs_service_pb2.ReportRunResponse.FromString(raw) async for raw in stream]
    await eavesdropper.end()

    assert not any(response.HasField("control") for response in responses)
    assert steps(await server.get(victim.run_id)) == ["request_time"]


async def test_a_queued_run_ends_at_once(server: Server) -> None:
    run = await server.create(launched())

    killed = await server.kill(run.run_id)

    assert (killed.state, killed.state_reason, killed.sealed) == (TERMINATED, KILLED, True)
    assert steps(killed) == ["request_time", "confirm_time"]
    async with server.connect() as agent:
        await agent.welcomed()
        other = await server.create(launched())
        assert await agent.given() == [other.run_id]


async def test_a_second_kill_changes_nothing(server: Server) -> None:
    run = await server.create()
    first = await server.kill(run.run_id)

    second = await server.kill(run.run_id)

    assert second == first


async def test_a_kill_that_is_asked_again_after_its_end_is_no_error(server: Server) -> None:
    run = await server.create()
    await server.kill(run.run_id)
    await server.report(run.run_id, state(TERMINATED))

    assert (await server.kill(run.run_id)).state == TERMINATED


@pytest.mark.parametrize("end", [COMPLETED, FAILED, TERMINATED])
async def test_an_ended_run_offers_no_kill(
    server: Server, end: run_state_pb2.RunState.ValueType
) -> None:
    run = await server.create()
    await server.report(run.run_id, state(end))
    before = await server.get(run.run_id)

    with pytest.raises(ActionNotAllowedError) as refused:
        await server.kill(run.run_id)

    assert refused.value.metadata["action"] == "KILL"
    assert await server.get(run.run_id) == before


async def test_the_end_that_was_on_its_way_is_a_termination(server: Server) -> None:
    run = await server.create(termination_protection=True)
    await server.report(run.run_id, state(RUNNING))
    await server.kill(run.run_id)

    await server.report(run.run_id, state(COMPLETED, exit_code=0))

    ended = await server.get(run.run_id)
    assert (ended.state, ended.exit_code) == (TERMINATED, 0)
    # Whether the request still reached the stream by which the end was told is a matter of luck.
    assert {"deliver_time", *steps(ended)} == {"request_time", "deliver_time", "confirm_time"}
    assert results(ended) == [NOTHING_FOUND]


async def test_repeated_words_on_a_request_change_nothing(server: Server) -> None:
    run = await server.create()
    await server.kill(run.run_id)
    request_id = (await server.get(run.run_id)).control_requests[0].request_id
    await server.report(run.run_id, step(request_id, CONFIRMED))
    before = await server.get(run.run_id)

    await server.report(run.run_id, step(request_id, ACKNOWLEDGED), step("unknown", CONFIRMED))

    after = await server.get(run.run_id)
    assert (after.sequence, after.control_requests) == (before.sequence, before.control_requests)


async def test_only_the_authority_speaks_of_requests(server: Server) -> None:
    run = await server.create()
    await server.kill(run.run_id)
    request_id = (await server.get(run.run_id)).control_requests[0].request_id

    await server.report(run.run_id, step(request_id, CONFIRMED), producer_id="other")

    assert steps(await server.get(run.run_id)) == ["request_time"]


async def test_a_kill_of_a_parent_goes_to_all_children(cluster: Cluster) -> None:
    parent = await cluster.one.create(sweep(parallelism=2, a=[1, 2, 3, 4], is_closed=False))
    async with cluster.one.connect() as agent:
        first, second = await agent.given(2)
        await agent.report(first, state(RUNNING))
        await agent.report(second, state(RUNNING), state(COMPLETED))

        killing = await cluster.other.kill(parent.run_id)

        assert conditions(killing) == [run_state_pb2.CONDITION_KIND_KILLING]
        assert killing.closed
        assert dict(killing.children.counts)["COMPLETED"] == 1
        await agent.until(lambda: any(command.run_id == first for command in agent.commands))
        for run_id in agent.assigned:
            await agent.report(run_id, state(FAILED))
        ended = await cluster.one.get(parent.run_id)
        assert (ended.state, ended.state_reason, ended.sealed) == (TERMINATED, KILLED, True)
        assert conditions(ended) == []
        assert dict(ended.children.counts) == {"COMPLETED": 1, "TERMINATED": 3}
        assert steps(ended) == ["request_time", "confirm_time"]


async def test_a_parent_with_waiting_children_only_ends_at_once(server: Server) -> None:
    parent = await server.create(sweep(a=range(500)))

    killed = await server.kill(parent.run_id)

    assert (killed.state, killed.children.counts["TERMINATED"]) == (TERMINATED, 500)
    assert killed.sealed


async def test_a_kill_of_an_idle_parent_ends_its_idle_children(server: Server) -> None:
    parent = await server.create(is_parent=True, termination_protection=True)
    child = await server.create(parent_run_id=parent.run_id, termination_protection=True)
    await server.report(child.run_id, state(COMPLETED), closed())
    await server.call("CloseRun", runs_service_pb2.CloseRunRequest(run_id=parent.run_id))
    assert (await server.get(parent.run_id)).state == IDLE

    killed = await server.kill(parent.run_id)

    assert (killed.state, killed.outcome) == (TERMINATED, COMPLETED)
    assert (await server.get(child.run_id)).state == TERMINATED
    assert dict(killed.children.counts) == {"TERMINATED": 1}


async def test_only_the_owner_and_admins_kill(server: Server) -> None:
    run = await server.create(project="blue")
    member = Caller("bob", Role.USER, projects=frozenset({"blue"}))

    with pytest.raises(RunNotFoundError):
        await server.kill(run.run_id, BOB)
    with pytest.raises(NotAllowedError):
        await server.kill(run.run_id, member)
    assert (await server.get(run.run_id)).state == PENDING
    assert (await server.kill(run.run_id, ADMIN)).control_requests[0].requester == "root"


async def test_a_kill_and_reports_of_children_on_two_replicas_do_not_wait_in_a_circle(
    cluster: Cluster,
) -> None:
    parent = await cluster.one.create(is_parent=True)
    children = [await cluster.one.create(parent_run_id=parent.run_id) for _ in range(30)]

    await asyncio.gather(
        *(cluster.one.report(child.run_id, state(RUNNING)) for child in children),
        cluster.other.kill(parent.run_id),
        *(
            cluster.other.report(child.run_id, task("t", "RUNNING"), producer_id="other")
            for child in children
        ),
    )

    killing = await cluster.one.get(parent.run_id)
    assert dict(killing.children.counts) == {"RUNNING": 30}


async def slowly(raw: bytes) -> AsyncIterator[bytes]:
    yield raw
    await asyncio.sleep(0.1)
