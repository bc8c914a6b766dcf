import asyncio

import pytest

from support.runs import (
    COMPLETED,
    FAILED,
    IDLE,
    PENDING,
    RUNNING,
    TERMINATED,
    Cluster,
    Run,
    Server,
    Starter,
    beat,
    closed,
    launched,
    scope,
    state,
    task,
)
from trackside_protos.runners.v1 import runners_service_pb2
from trackside_protos.runs.v1 import report_pb2, run_state_pb2

DISCONNECTED = run_state_pb2.CONDITION_KIND_DISCONNECTED
STALLED = run_state_pb2.CONDITION_KIND_STALLED
LOST = run_state_pb2.STATE_REASON_LOST
NEVER_STARTED = run_state_pb2.STATE_REASON_NEVER_STARTED
HOUR = 3600


@pytest.fixture(autouse=True)
def _clock_that_stands_still(starter: Starter) -> None:
    starter.clock.stand_still()


async def conditions(server: Server, run: Run) -> list[int]:
    return [condition.kind for condition in (await server.get(run.run_id)).conditions]


async def later(cluster: Cluster, seconds: float) -> None:
    """Let time pass, with the watchmen of both doors looking."""
    cluster.clock.advance(seconds)
    await cluster.one.look()
    await cluster.other.look()


async def running(server: Server, run: Run | None = None) -> Run:
    run = run or await server.create()
    await server.report(run.run_id, state(RUNNING))
    return run


async def test_three_missed_beats_disconnect_and_a_late_message_clears(cluster: Cluster) -> None:
    run = await running(cluster.one)

    await later(cluster, 29)
    assert await conditions(cluster.one, run) == []
    await later(cluster, 2)
    assert await conditions(cluster.other, run) == [DISCONNECTED]
    await cluster.other.report(run.run_id, beat())

    assert await conditions(cluster.one, run) == []
    kinds = [
        [c.kind for c in change.run.conditions] for change in await cluster.one.changes(run.run_id)
    ]
    assert kinds == [[], [], [DISCONNECTED], []]


async def test_the_cadence_that_was_promised_counts(server: Server) -> None:
    run = await server.create()
    promise = report_pb2.RunReport(heartbeat=report_pb2.Heartbeat())
    promise.heartbeat.interval.seconds = 60
    await server.report(run.run_id, state(RUNNING), promise)

    server.clock.advance(170)
    await server.look()
    assert await conditions(server, run) == []
    server.clock.advance(11)
    await server.look()

    assert await conditions(server, run) == [DISCONNECTED]


async def test_only_the_authority_is_missed(server: Server) -> None:
    run = await running(server)
    server.clock.advance(31)

    await server.report(run.run_id, scope("fold", 1, 2), producer_id="other")
    server.clock.advance(2)
    await server.look()

    assert await conditions(server, run) == [DISCONNECTED]


async def test_a_silent_run_is_lost_only_after_the_time_set_for_it(cluster: Cluster) -> None:
    wanted = Run(termination_protection=False)
    wanted.lost_after_duration.seconds = 2 * HOUR
    run = await running(cluster.one, await cluster.one.create(wanted))

    await later(cluster, 2 * HOUR - 5)
    assert (await cluster.one.get(run.run_id)).state == RUNNING
    await later(cluster, 10)

    lost = await cluster.one.get(run.run_id)
    assert (lost.state, lost.state_reason) == (FAILED, LOST)
    assert lost.end_time.seconds > 0


async def test_a_lost_run_aborts_its_open_tasks(server: Server) -> None:
    run = await running(server)
    await server.report(run.run_id, task("t", "RUNNING"))

    server.clock.advance(25 * HOUR)
    await server.look()

    assert (await server.get(run.run_id)).task_counts.aborted == 1


async def test_what_is_said_of_a_lost_run_is_late(server: Server) -> None:
    run = await running(server)
    server.clock.advance(25 * HOUR)
    await server.look()

    await server.report(run.run_id, state(COMPLETED), closed())

    told = await server.get(run.run_id)
    assert (told.state, told.state_reason) == (FAILED, LOST)


async def test_a_protected_lost_run_is_idle(server: Server) -> None:
    run = await running(server, await server.create(termination_protection=True))

    server.clock.advance(25 * HOUR)
    await server.look()

    lost = await server.get(run.run_id)
    assert (lost.state, lost.outcome, lost.state_reason) == (IDLE, FAILED, LOST)


async def test_a_killed_run_that_is_lost_is_terminated_without_proof(server: Server) -> None:
    run = await running(server)
    await server.kill(run.run_id)

    server.clock.advance(25 * HOUR)
    await server.look()

    lost = await server.get(run.run_id)
    assert lost.state == TERMINATED
    assert not lost.control_requests[0].HasField("confirm_time")


async def test_a_server_that_was_stopped_has_heard_nobody_be_silent(server: Server) -> None:
    run = await running(server)
    await server.look()

    server.application._watchman._steady_ms = lambda: 1 << 40  # as after a long sleep
    server.clock.advance(48 * HOUR)
    await server.look()

    assert (await server.get(run.run_id)).state == RUNNING
    assert await conditions(server, run) == []
    server.clock.advance(31)
    await server.look()
    assert await conditions(server, run) == [DISCONNECTED]


async def test_a_server_that_falls_asleep_while_it_looks_has_heard_nobody_be_silent(
    server: Server,
) -> None:
    run = await running(server)
    await server.look()
    server.clock.advance(31)
    watchman = server.application._watchman
    awake_ms = [0, 48 * HOUR * 1000]

    def falling_asleep() -> int:
        """Tell that it is awake, and sleep for two days."""
        if len(awake_ms) > 1:
            server.clock.advance(48 * HOUR)
            return awake_ms.pop(0)
        return awake_ms[0]

    watchman._awake_ms, watchman._steady_ms = 0, falling_asleep
    await server.look()

    assert (await server.get(run.run_id)).state == RUNNING
    assert await conditions(server, run) == []
    server.clock.advance(31)
    await server.look()
    assert await conditions(server, run) == [DISCONNECTED]


@pytest.mark.parametrize("days", [-3, 3])
async def test_a_restart_with_another_clock_hears_silence_as_before(
    starter: Starter, database_url: str, days: int
) -> None:
    before = await starter.start(database_url)
    beating = await running(before)
    ended = await running(before)
    await before.report(ended.run_id, state(COMPLETED))
    unheard = await before.create()
    await before.look()
    await before.application.close()

    starter.clock.advance(days * 24 * HOUR)
    after = await starter.start(database_url)
    await after.look()
    assert await conditions(after, beating) == []
    after.clock.advance(31)
    await after.look()
    assert await conditions(after, beating) == [DISCONNECTED]
    assert (await after.get(ended.run_id)).sealed
    after.clock.advance(HOUR)
    await after.look()

    assert (await after.get(unheard.run_id)).state_reason == NEVER_STARTED
    assert (await after.get(beating.run_id)).state == RUNNING


async def test_a_clock_that_is_set_back_brings_no_agent_back(
    starter: Starter, database_url: str
) -> None:
    before = await starter.start(database_url)
    await before.connect().welcomed()
    await before.application.close()

    starter.clock.advance(-24 * HOUR)
    after = await starter.start(database_url)

    request = runners_service_pb2.ListRunnersRequest()
    listed = (await after.call("ListRunners", request)).runners
    assert [runner.connected for runner in listed] == [False]


async def test_a_restart_makes_no_run_disconnected_or_lost(
    starter: Starter,
    sqlite_url: str,
) -> None:
    first = await starter.start(sqlite_url)
    run = await running(first)
    await first.application.close()
    starter.clock.advance(48 * HOUR)

    second = await starter.start(sqlite_url)
    second.batches = first.batches
    await second.look()
    assert await conditions(second, run) == []
    starter.clock.advance(29)
    await second.look()
    assert await conditions(second, run) == []
    starter.clock.advance(2)
    await second.look()
    assert await conditions(second, run) == [DISCONNECTED]
    starter.clock.advance(24 * HOUR - 40)
    await second.look()

    assert (await second.get(run.run_id)).state == RUNNING


async def test_an_outage_of_the_store_is_no_silence(server: Server) -> None:
    run = await running(server)
    server.clock.advance(25)
    watchman = server.application._watchman

    watchman._note_outage()
    server.clock.advance(20)
    await server.look()

    assert await conditions(server, run) == []


async def test_a_run_that_nothing_was_ever_heard_of_fails(cluster: Cluster) -> None:
    run = await cluster.one.create()

    await later(cluster, HOUR - 5)
    assert (await cluster.one.get(run.run_id)).state == PENDING
    await later(cluster, 6)

    told = await cluster.one.get(run.run_id)
    assert (told.state, told.state_reason) == (FAILED, NEVER_STARTED)


async def test_a_run_that_waits_for_an_agent_waits_for_ever(cluster: Cluster) -> None:
    run = await cluster.one.create(launched())

    for _ in range(3):
        await later(cluster, 30 * HOUR)

    told = await cluster.one.get(run.run_id)
    assert (told.state, list(told.conditions)) == (PENDING, [])


async def test_a_run_that_waits_for_its_engine_is_never_lost(server: Server) -> None:
    run = await server.create(launched())
    async with server.connect() as agent:
        await agent.given()

    server.clock.advance(30 * HOUR)
    await server.look()

    assert (await server.get(run.run_id)).state == PENDING
    assert await conditions(server, run) == [DISCONNECTED]


async def test_a_parent_is_never_silent(server: Server) -> None:
    parent = await server.create(is_parent=True)
    await server.report(parent.run_id, state(RUNNING))

    server.clock.advance(30 * HOUR)
    await server.look()

    assert (await server.get(parent.run_id)).state == RUNNING
    assert await conditions(server, parent) == []


async def test_a_run_whose_tasks_have_all_ended_stalls(cluster: Cluster) -> None:
    run = await running(cluster.one)
    await cluster.one.report(run.run_id, task("a", "SUCCEEDED"), task("b", "RUNNING"))
    for _ in range(20):
        await later(cluster, 20)
        await cluster.one.report(run.run_id, beat())
    assert await conditions(cluster.one, run) == []
    await cluster.one.report(run.run_id, task("b", "SUCCEEDED"))

    for _ in range(14):
        await later(cluster, 20)
        await cluster.one.report(run.run_id, beat())
    assert await conditions(cluster.one, run) == []
    await later(cluster, 21)
    assert await conditions(cluster.one, run) == [STALLED]
    await cluster.one.report(run.run_id, scope("fold", 1, 2))

    assert await conditions(cluster.one, run) == []


async def test_an_ended_run_is_sealed_after_half_a_minute(cluster: Cluster) -> None:
    run = await running(cluster.one)
    await cluster.one.report(run.run_id, state(COMPLETED))

    await later(cluster, 28)
    assert not (await cluster.one.get(run.run_id)).sealed
    await later(cluster, 3)

    assert (await cluster.one.get(run.run_id)).sealed
    sealed = [change.run.sealed for change in await cluster.one.changes(run.run_id)]
    assert sealed == [False, False, False, True]


async def test_two_watchmen_say_everything_once(replicas: Cluster) -> None:
    runs = [await running(replicas.one) for _ in range(40)]
    replicas.clock.advance(40)

    await asyncio.gather(*(server.look() for server in (replicas.one, replicas.other) * 3))

    for run in runs:
        assert len(await replicas.one.changes(run.run_id)) == 3


async def test_an_idle_server_looks_at_nothing(server: Server) -> None:
    run = await running(server)
    await server.report(run.run_id, state(COMPLETED), closed())
    before = await server.get(run.run_id)

    server.clock.advance(40 * HOUR)
    await server.look()

    assert (await server.get(run.run_id)).sequence == before.sequence


async def test_many_that_are_due_are_all_looked_at(server: Server) -> None:
    await asyncio.gather(*(server.create() for _ in range(250)))
    server.clock.advance(2 * HOUR)

    await server.look()

    assert len(await server.runs("state=FAILED", page_size=1000)) == 250


@pytest.mark.exhaustive
async def test_very_many_open_tasks_are_aborted_before_the_seal(server: Server) -> None:
    run = await running(server)
    for start in range(0, 5000, 1000):
        await server.report(
            run.run_id,
            *(task(f"{i}", "PENDING", process="fit") for i in range(start, start + 1000)),
        )

    await server.report(run.run_id, task("7", "SUCCEEDED"), state(COMPLETED), closed())
    ended = await server.get(run.run_id)
    await server.look()

    sealed = await server.get(run.run_id)
    assert (ended.state, ended.sealed, sealed.sealed) == (COMPLETED, False, True)
    assert (sealed.task_counts.pending, sealed.task_counts.aborted) == (0, 4999)
    assert [p.aborted for p in await server.processes(run.run_id) if p.process == "fit"] == [4999]
