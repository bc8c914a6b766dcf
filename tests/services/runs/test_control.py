import asyncio

import pytest
from google.protobuf.duration_pb2 import Duration

from support.runs import (
    ADMIN,
    BOB,
    COMPLETED,
    FAILED,
    IDLE,
    PENDING,
    RUNNING,
    STOPPING,
    TERMINATED,
    Agent,
    Cluster,
    Report,
    Run,
    Server,
    closed,
    launched,
    state,
    sweep,
    task,
    until,
)
from trackside_protos.runs.v1 import report_pb2, run_pb2, run_state_pb2, runs_service_pb2
from trackside_runs.errors import ActionNotAllowedError
from trackside_serving.calls import Call
from trackside_serving.errors import InvalidFieldError, NotAllowedError, RunNotFoundError
from trackside_serving.identity import Caller, Role

KILLED = run_state_pb2.STATE_REASON_KILLED
ACKNOWLEDGED = report_pb2.CONTROL_STEP_ACKNOWLEDGED
CONFIRMED = report_pb2.CONTROL_STEP_CONFIRMED
STOPPED = run_state_pb2.STATE_REASON_STOPPED
UNCONFIRMED = run_state_pb2.STATE_REASON_UNCONFIRMED
ESCALATED = report_pb2.CONTROL_STEP_ESCALATED
KILLING = run_state_pb2.CONDITION_KIND_KILLING
ENDED = run_pb2.CONTROL_RESULT_ENDED
NOTHING_FOUND = run_pb2.CONTROL_RESULT_NOTHING_FOUND
NOT_PROVEN = run_pb2.CONTROL_RESULT_UNCONFIRMED
TIMES = ("request_time", "deliver_time", "acknowledge_time", "confirm_time")


def step(request_id: str, step: report_pb2.ControlStep.ValueType, **fields: bool) -> Report:
    return Report(control=report_pb2.ControlReport(request_id=request_id, step=step, **fields))


def results(run: Run) -> list[int]:
    return [request.result for request in run.control_requests]


def conditions(run: Run) -> list[int]:
    return [condition.kind for condition in run.conditions]


def steps(run: Run) -> list[str]:
    """Return the times that the run's only control request has."""
    [request] = run.control_requests
    return [name for name in TIMES if request.HasField(name)]  # pyright: ignore[reportArgumentType] - names of fields


class Session:
    """An SDK session that keeps its stream open."""

    def __init__(self, server: Server, run_id: str) -> None:
        self.server = server
        self.run_id = run_id
        self.asked: list[runs_service_pb2.ReportRunResponse] = []
        self._batches: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._task = asyncio.create_task(self._talk())

    def report(self, *reports: Report) -> None:
        self._batches.put_nowait(self.server.batch(self.run_id, *reports))

    async def request_id(self) -> str:
        await until(lambda: bool(self.asked))
        return self.asked[0].control.request_id

    async def end(self) -> None:
        self._batches.put_nowait(None)
        await self._task

    async def _talk(self) -> None:
        async def batches():  # noqa: ANN202 - bytes
            while (raw := await self._batches.get()) is not None:
                yield raw

        caller = Caller("ann", Role.USER)
        async for raw in self.server.handler("ReportRun")(batches(), Call(caller)):
            response = runs_service_pb2.ReportRunResponse.FromString(raw)
            if response.HasField("control"):
                self.asked.append(response)


async def running(server: Server, agent: Agent, run: Run | None = None) -> Run:
    """Return a launched run that its agent says is running."""
    run = await server.create(run or launched())
    await agent.until(lambda: run.run_id in agent.assigned)
    agent.store(run.run_id)
    await agent.report(run.run_id, state(RUNNING))
    return run


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


async def test_a_request_is_for_the_runs_that_a_stream_may_report_on(server: Server) -> None:
    victim = await server.create()
    await server.report(victim.run_id, state(RUNNING))
    own = await server.create(caller=BOB, producer_id="other")
    eavesdropper = Session(server, own.run_id)
    await server.kill(victim.run_id)

    bob = Caller("bob", Role.USER)
    stream = server.handler("ReportRun")(
        _slowly(server.batch(own.run_id, state(RUNNING))), Call(bob)
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


async def until_state(server: Server, run: Run, wanted: int) -> None:
    while (await server.get(run.run_id)).state != wanted:  # noqa: ASYNC110 - the store has no event
        await asyncio.sleep(0.002)


async def _slowly(raw: bytes):  # noqa: ANN202 - bytes
    yield raw
    await asyncio.sleep(0.1)


# Stops.


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


# Forced ends.


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


# Usage.


async def test_what_a_run_has_used_is_its_authoritys_word(server: Server) -> None:
    run = await server.create()
    used = run_pb2.Usage(processor_duration=Duration(seconds=3), peak_memory_bytes=1 << 30)

    await server.report(run.run_id, state(RUNNING), Report(usage=used))
    await server.report(
        run.run_id, Report(usage=run_pb2.Usage(peak_memory_bytes=1)), producer_id="other"
    )

    assert (await server.get(run.run_id)).usage == used
