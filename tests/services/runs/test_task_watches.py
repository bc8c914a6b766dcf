import pytest

from support.chance import seeded
from support.runs import (
    BEGINNING,
    COMPLETED,
    RUNNING,
    Cluster,
    Run,
    Server,
    Watcher,
    after,
    closed,
    last,
    scope,
    state,
    task,
)
from trackside_protos.runs.v1.task_pb2 import Task
from trackside_runs.states import OPEN_TASK_STATES
from trackside_runs.task_listing import TaskLists
from trackside_serving.clock import forward_clock
from trackside_serving.errors import InvalidFilterError

HARD = "process = hard AND NOT state = SUCCEEDED"


async def end(server: Server, run: Run) -> None:
    await server.report(run.run_id, state(COMPLETED), closed())


def told(watcher: Watcher) -> list[Task]:
    """Return every task that a watcher was given, in changes."""
    return [change.task.task for change in watcher.changes if change.task.HasField("task")]


def left(watcher: Watcher) -> list[str]:
    return [change.task.left_task_id for change in watcher.changes if change.task.left_task_id]


async def test_a_watch_tells_of_the_tasks_that_match(cluster: Cluster) -> None:
    run = await cluster.one.create()
    await cluster.one.report(
        run.run_id, task("a", "RUNNING", process="hard"), task("b", "RUNNING", process="easy")
    )

    async with cluster.other.watch(run.run_id, task_filter=HARD) as watcher:
        await watcher.caught_up()
        shown = set(watcher.view.open_tasks)
        await cluster.one.report(
            run.run_id, task("c", "PENDING", process="hard"), task("d", "PENDING", process="easy")
        )
        await end(cluster.one, run)
        await watcher.ended()

    assert shown == {"a"}
    assert {task.task_id for task in told(watcher)} == {"a", "c"}


async def test_a_task_that_stops_matching_has_left(cluster: Cluster) -> None:
    run = await cluster.one.create()
    await cluster.one.report(run.run_id, task("a", "RUNNING", process="hard"))

    async with cluster.other.watch(run.run_id, task_filter=HARD) as watcher:
        await watcher.caught_up()
        await cluster.one.report(run.run_id, task("a", "SUCCEEDED"))
        await watcher.until(lambda: left(watcher) == ["a"])

    assert watcher.view.open_tasks == {}
    assert told(watcher) == []


async def test_a_task_that_begins_to_match_is_told(server: Server) -> None:
    run = await server.create()
    await server.report(run.run_id, task("a", "RUNNING", process="easy"))

    async with server.watch(run.run_id, task_filter="state = FAILED") as watcher:
        await watcher.caught_up()
        await server.report(run.run_id, task("a", "FAILED"))
        await watcher.until(lambda: [task.task_id for task in told(watcher)] == ["a"])

    assert left(watcher) == []


async def test_counts_and_everything_but_tasks_are_told_in_full(server: Server) -> None:
    run = await server.create()
    await server.report(run.run_id, task("a", "RUNNING", process="easy"))

    async with server.watch(run.run_id, BEGINNING, task_filter="nothing matches") as watcher:
        await server.report(
            run.run_id, scope("fold", 1, 5), task("a", "SUCCEEDED"), task("b", "RUNNING")
        )
        await end(server, run)
        await watcher.ended()

    assert watcher.sequences == list(range(1, len(watcher.sequences) + 1))
    assert list(watcher.view.processes.values()) == await server.processes(run.run_id)
    assert list(watcher.view.scopes) == ["fold"]
    assert told(watcher) == []


async def test_the_filter_may_change_when_a_watch_goes_on(server: Server) -> None:
    run = await server.create()
    await server.report(run.run_id, state(RUNNING), task("a", "RUNNING", process="hard"))
    async with server.watch(run.run_id, task_filter="process = easy") as watcher:
        await watcher.caught_up()
    cursor = watcher.responses[-1].cursor
    await server.report(run.run_id, task("a", "FAILED"), task("b", "RUNNING", process="easy"))
    await end(server, run)

    async with server.watch(run.run_id, after(cursor), task_filter="process = hard") as resumed:
        await resumed.ended()

    assert [task.task_id for task in told(resumed)] == ["a"]
    assert left(resumed)[0] == "b"
    first = watcher.responses[0].snapshot.run.sequence + 1
    assert resumed.sequences == list(range(first, first + len(resumed.sequences)))


async def test_many_open_tasks_are_left_out_of_every_page(server: Server) -> None:
    run = await server.create()
    reports = [task(f"t{i}", "RUNNING", process="hard" if i % 90 == 0 else "p") for i in range(900)]
    await server.report(run.run_id, *reports)

    async with server.watch(run.run_id, last(1), task_filter=HARD) as watcher:
        await watcher.caught_up()

    assert sorted(watcher.view.open_tasks) == sorted(f"t{i}" for i in range(0, 900, 90))


async def test_the_present_state_and_its_changes_are_the_tasks_that_match(
    cluster: Cluster,
) -> None:
    chance = seeded(4)
    run = await cluster.one.create()
    filter_ = "state = RUNNING OR context.fold = 1"
    lists = TaskLists(cluster.one.application._database, forward_clock())
    wanted = lists.wanted(filter_)
    assert wanted is not None
    watchers = list[Watcher]()
    for _ in range(30):
        name = chance.choice(["PENDING", "RUNNING", "FAILED"])
        context = {"fold": str(chance.randrange(3))}
        attempt = [{"number": 1 + len(watchers), "state": f"TASK_STATE_{name}"}]
        await cluster.one.report(
            run.run_id,
            task(f"t{chance.randrange(6)}", name, context=context, attempts=attempt),
        )
        watchers.append(cluster.other.watch(run.run_id, task_filter=filter_))
    expected = {
        task.task_id
        for task in await cluster.one.tasks(run.run_id)
        if wanted(task) and task.state in OPEN_TASK_STATES
    }
    head = (await cluster.one.get(run.run_id)).sequence

    for watcher in watchers:
        async with watcher:
            await watcher.until(
                lambda watcher=watcher: watcher.has_caught_up and watcher.view.run.sequence >= head
            )
        assert set(watcher.view.open_tasks) == expected


async def test_an_impossible_task_filter_is_refused_before_anything_is_sent(
    server: Server,
) -> None:
    run = await server.create()

    watcher = server.watch(run.run_id, task_filter="owner = ann")

    with pytest.raises(InvalidFilterError):
        await watcher.ended()
    assert watcher.responses == []
