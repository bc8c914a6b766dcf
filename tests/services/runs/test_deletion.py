import asyncio
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest
from sqlalchemy import func, select

from support.conditions import until
from support.runs import (
    ADMIN,
    ANN,
    BOB,
    COMPLETED,
    FAILED,
    RUNNING,
    Cluster,
    Report,
    Run,
    Server,
    closed,
    launched,
    scope,
    state,
    sweep,
    task,
)
from trackside_protos.runs.v1 import output_pb2, run_state_pb2, runs_service_pb2
from trackside_runs.errors import ActionNotAllowedError
from trackside_runs.registry import Change
from trackside_runs.storage.tables import CHANGE, RunsTables
from trackside_serving.calls import Call
from trackside_serving.errors import (
    InvalidFieldError,
    NotAllowedError,
    RunDeletedError,
    RunNotFoundError,
)
from trackside_serving.identity import Caller, Role

SERVICE = Caller("logs", Role.SERVICE)


async def ended(server: Server, **fields: Any) -> Run:
    """Return a run that has ended and has some of everything."""
    run = await server.create(tags=["t"], labels={"k": "v"}, **fields)
    await server.report(
        run.run_id,
        state(RUNNING),
        scope("fold", 1, 2),
        task("t", "RUNNING", script="echo"),
        task("t", "SUCCEEDED"),
        Report(output=output_pb2.Output(path="model.pkl")),
        state(COMPLETED),
        closed(),
    )
    return await server.get(run.run_id)


async def delete(server: Server, run_id: str, caller: Caller = ANN) -> int:
    request = runs_service_pb2.DeleteRunRequest(run_id=run_id)
    return (await server.call("DeleteRun", request, caller)).deleted_count


async def pending(server: Server, run_id: str, caller: Caller = ANN) -> list[str]:
    """Return the services that have not confirmed that nothing of a deleted run is left."""
    request = runs_service_pb2.DeleteRunRequest(run_id=run_id)
    return list((await server.call("DeleteRun", request, caller)).pending_services)


async def confirm(server: Server, service: str, *run_ids: str) -> None:
    request = runs_service_pb2.ConfirmDeletionRequest(service=service, run_ids=run_ids)
    await server.call("ConfirmDeletion", request, SERVICE)


async def rows_of(server: Server, run_id: str) -> dict[str, int]:
    """Return how many rows each table has of a run, for those that have any."""
    counts: dict[str, int] = {}
    for table in RunsTables.metadata.sorted_tables:
        if "run_id" in table.c:
            query = select(func.count()).where(table.c.run_id == run_id)
            found = await server.application._database.read(
                lambda connection, query=query: connection.execute(query).scalar_one()
            )
            if found:
                counts[table.name] = found
    return counts


async def purge(server: Server) -> None:
    await server.application._watchman.purge_deleted()


async def test_a_deleted_run_is_gone_for_everybody(cluster: Cluster) -> None:
    run = await ended(cluster.one)
    kept = await ended(cluster.one)
    assert run_state_pb2.RUN_ACTION_DELETE in run.actions

    assert await delete(cluster.other, run.run_id) == 1

    for server in (cluster.one, cluster.other):
        assert [each.run_id for each in await server.runs()] == [kept.run_id]
        with pytest.raises(RunNotFoundError):
            await server.get(run.run_id)
        with pytest.raises(RunNotFoundError):
            await server.tasks(run.run_id)
        with pytest.raises(RunDeletedError):
            await server.report(run.run_id, task("u", "RUNNING"))
        with pytest.raises(RunNotFoundError) as told:
            await server.get(run.run_id, BOB)
        assert told.value.reason == "RUN_NOT_FOUND"


async def test_nothing_is_left_of_a_deleted_run_but_that_it_was_deleted(server: Server) -> None:
    run = await ended(server)

    await delete(server, run.run_id)
    await purge(server)

    assert await rows_of(server, run.run_id) == {"change": 1, "deleted_run": 1, "directory": 1}
    stored = await server.application._database.read(
        lambda connection: connection.execute(select(CHANGE.c.message)).scalars().all()
    )
    assert not any(run.name.encode() in message for message in stored)


@pytest.mark.exhaustive
async def test_a_run_of_very_many_parts_is_purged_to_the_last(server: Server) -> None:
    run = await server.create()
    for start in range(0, 5000, 1000):
        await server.report(
            run.run_id, *(task(f"{i}", "SUCCEEDED") for i in range(start, start + 1000))
        )
    await server.report(run.run_id, state(COMPLETED), closed())

    await delete(server, run.run_id)
    await purge(server)

    assert await rows_of(server, run.run_id) == {"change": 1, "deleted_run": 1, "directory": 1}


async def test_the_last_change_of_a_deleted_run_is_forgotten_as_others_are(server: Server) -> None:
    run = await ended(server)
    before = await server.create()
    await delete(server, run.run_id)
    await purge(server)

    server.clock.advance(8 * 86_400)
    await server.application._watchman.forget_old_changes()

    assert await rows_of(server, run.run_id) == {"deleted_run": 1, "directory": 1}
    assert (await server.get(before.run_id)).run_id == before.run_id


async def test_a_deletion_can_be_repeated_by_whoever_could_see_the_run(server: Server) -> None:
    run = await ended(server)
    await delete(server, run.run_id)

    assert await delete(server, run.run_id) == 0
    with pytest.raises(RunNotFoundError):
        await delete(server, run.run_id, BOB)


async def test_the_id_of_a_deleted_run_is_not_given_again(server: Server) -> None:
    run = await ended(server, external_key="key")
    await delete(server, run.run_id)

    with pytest.raises(RunDeletedError):
        await server.create(run_id=run.run_id)
    assert (await server.create(external_key="key")).run_id != run.run_id


async def test_a_run_that_has_not_ended_is_not_deleted(server: Server) -> None:
    run = await server.create()
    await server.report(run.run_id, state(RUNNING))

    with pytest.raises(ActionNotAllowedError) as refused:
        await delete(server, run.run_id)

    assert refused.value.metadata == {"action": "DELETE", "state": "RUNNING"}
    assert (await server.get(run.run_id)).state == RUNNING


async def test_an_idle_run_is_ended_before_it_is_deleted(server: Server) -> None:
    run = await server.create(termination_protection=True)
    await server.report(run.run_id, state(COMPLETED), closed())

    with pytest.raises(ActionNotAllowedError):
        await delete(server, run.run_id)
    await server.kill(run.run_id)

    assert await delete(server, run.run_id) == 1


async def test_a_parent_is_deleted_with_its_children(server: Server) -> None:
    parent = await server.create(sweep(parallelism=2, a=[1, 2]))
    async with server.connect() as agent:
        for run_id in await agent.given(2):
            await agent.report(run_id, state(RUNNING), state(FAILED), closed())

    assert await delete(server, parent.run_id) == 3
    assert await server.runs() == []


async def test_a_parent_counts_a_child_no_more_that_was_deleted(cluster: Cluster) -> None:
    parent = await cluster.one.create(is_parent=True)
    children = [await ended(cluster.one, parent_run_id=parent.run_id) for _ in range(2)]
    failed = await cluster.one.create(parent_run_id=parent.run_id)
    await cluster.one.report(failed.run_id, state(FAILED), closed())

    await delete(cluster.other, failed.run_id)
    await delete(cluster.one, children[0].run_id)

    counted = (await cluster.one.get(parent.run_id)).children
    assert dict(counted.counts) == {"COMPLETED": 1}
    assert (counted.total_count, counted.ended_count) == (1, 1)
    await cluster.one.call("CloseRun", runs_service_pb2.CloseRunRequest(run_id=parent.run_id))
    assert (await cluster.one.get(parent.run_id)).state == COMPLETED


async def test_a_parent_that_has_ended_stays_as_it_ended(server: Server) -> None:
    parent = await server.create(is_parent=True)
    child = await server.create(parent_run_id=parent.run_id)
    await server.report(child.run_id, state(FAILED), closed())
    await server.call("CloseRun", runs_service_pb2.CloseRunRequest(run_id=parent.run_id))

    await delete(server, child.run_id)

    after = await server.get(parent.run_id)
    assert (after.state, after.children.total_count) == (FAILED, 0)


async def test_a_parent_with_a_child_at_work_is_not_deleted(server: Server) -> None:
    parent = await server.create(is_parent=True)
    child = await server.create(parent_run_id=parent.run_id, termination_protection=True)
    await server.report(child.run_id, state(COMPLETED), closed())
    await server.call("CloseRun", runs_service_pb2.CloseRunRequest(run_id=parent.run_id))

    with pytest.raises(ActionNotAllowedError) as refused:
        await delete(server, parent.run_id)

    assert child.run_id in refused.value.message
    assert len(await server.runs()) == 2


async def test_only_the_owner_and_admins_delete(server: Server) -> None:
    run = await ended(server, project="blue")
    member = Caller("bob", Role.USER, projects=frozenset({"blue"}))

    with pytest.raises(RunNotFoundError):
        await delete(server, run.run_id, BOB)
    with pytest.raises(NotAllowedError):
        await delete(server, run.run_id, member)
    assert await delete(server, run.run_id, ADMIN) == 1


async def test_who_watches_a_list_is_told_that_the_run_left(cluster: Cluster) -> None:
    run = await ended(cluster.one)
    async with cluster.other.watch_list() as watcher:
        await watcher.caught_up()

        await delete(cluster.one, run.run_id)

        await watcher.until(lambda: watcher.left == [run.run_id])
        assert watcher.members == {}


async def test_who_watches_the_run_is_told_that_it_is_gone(server: Server) -> None:
    async with server.connect() as agent:
        run = await server.create(launched())
        await agent.given()
        await agent.report(run.run_id, state(RUNNING), state(FAILED))  # and does not close
        async with server.watch(run.run_id) as watcher:
            await watcher.caught_up()

            await delete(server, run.run_id)

            with pytest.raises(RunDeletedError):
                await watcher.ended()


@asynccontextmanager
async def one_transaction(server: Server) -> AsyncGenerator[Callable[[int], Awaitable[None]]]:
    """Let what is begun within be stored together; what is given waits until so much waits."""
    committer = server.application._committer
    busy, go = threading.Event(), threading.Event()

    def hold(_: object) -> None:
        busy.set()
        assert go.wait(100)

    async def waiting(count: int) -> None:
        await until(lambda: committer._queue.qsize() == count)

    await server.look()  # the last time for the watchman, who would put works of its own between
    held = asyncio.create_task(committer.commit(Change((), hold)))
    await until(busy.is_set)
    yield waiting
    go.set()
    await held


async def test_what_comes_right_behind_a_deletion_finds_the_run_deleted(server: Server) -> None:
    run = await ended(server)
    update = runs_service_pb2.UpdateRunRequest(run=Run(run_id=run.run_id, tags=["late"]))
    update.update_mask.paths.append("tags")

    async with one_transaction(server) as waiting:
        deleting = asyncio.create_task(delete(server, run.run_id))
        await waiting(1)
        late = [
            asyncio.create_task(call)
            for call in (
                server.call("UpdateRun", update),
                server.kill(run.run_id),
                server.create(run_id=run.run_id),
            )
        ]
        await waiting(4)
    results = await asyncio.gather(*late, return_exceptions=True)
    await purge(server)

    assert await deleting == 1
    assert [getattr(result, "reason", result) for result in results] == ["RUN_DELETED"] * 3
    assert await rows_of(server, run.run_id) == {"change": 1, "deleted_run": 1, "directory": 1}


async def test_what_came_right_before_a_deletion_leaves_nothing(server: Server) -> None:
    run = await ended(server)
    update = runs_service_pb2.UpdateRunRequest(run=Run(run_id=run.run_id, tags=["early"]))
    update.update_mask.paths.append("tags")

    async with one_transaction(server) as waiting:
        updating = asyncio.create_task(server.call("UpdateRun", update))
        await waiting(1)
        deleting = asyncio.create_task(delete(server, run.run_id))
        await waiting(2)
    await asyncio.gather(updating, deleting, return_exceptions=True)
    await purge(server)

    assert await rows_of(server, run.run_id) == {"change": 1, "deleted_run": 1, "directory": 1}


async def test_a_parent_is_deleted_with_a_child_that_was_just_made(server: Server) -> None:
    parent = await server.create(is_parent=True)

    async with one_transaction(server) as waiting:
        calls: list[Coroutine[Any, Any, object]] = [
            server.create(parent_run_id=parent.run_id),
            server.kill(parent.run_id),
            server.force_end(parent.run_id),
            delete(server, parent.run_id),
        ]
        tasks: list[asyncio.Task[object]] = []
        for call in calls:
            tasks.append(asyncio.create_task(call))
            await waiting(len(tasks))
    await asyncio.gather(*tasks, return_exceptions=True)

    assert tasks[-1].result() == 2
    assert await server.runs() == []


async def test_a_child_that_two_delete_at_once_is_counted_off_once(server: Server) -> None:
    parent = await server.create(is_parent=True)
    children = [await ended(server, parent_run_id=parent.run_id) for _ in range(2)]

    async with one_transaction(server) as waiting:
        deleting = [
            asyncio.create_task(delete(server, children[0].run_id)),
            asyncio.create_task(delete(server, children[0].run_id)),
        ]
        await waiting(2)

    assert sorted(await asyncio.gather(*deleting)) == [0, 1]
    assert (await server.get(parent.run_id)).children.total_count == 1


async def test_the_other_services_are_told(server: Server) -> None:
    run = await ended(server)
    await delete(server, run.run_id)
    request = runs_service_pb2.WatchRunDirectoryRequest(run_id=run.run_id)

    answers = [
        runs_service_pb2.WatchRunDirectoryResponse.FromString(raw)
        async for raw in server.handler("WatchRunDirectory")(request, Call(SERVICE))
    ]

    [entry] = answers[0].entries
    assert (entry.run_id, entry.deleted, entry.owner) == (run.run_id, True, "ann")


async def test_each_service_is_pending_until_it_confirms(cluster: Cluster) -> None:
    run = await ended(cluster.one)
    assert (await pending(cluster.one, run.run_id))[-2:] == ["logs", "metrics"]

    await confirm(cluster.other, "metrics", run.run_id)
    assert (await pending(cluster.one, run.run_id))[-1:] == ["logs"]
    while await pending(cluster.one, run.run_id) != ["logs"]:  # noqa: ASYNC110 - the store has no event
        await asyncio.sleep(0.002)
    await confirm(cluster.one, "logs", run.run_id)
    await confirm(cluster.one, "logs", run.run_id)

    assert await pending(cluster.other, run.run_id) == []


async def test_a_parent_is_pending_with_its_children(server: Server) -> None:
    parent = await server.create(sweep(x=[1, 2]))
    await server.kill(parent.run_id)
    await purge(server)

    request = runs_service_pb2.DeleteRunRequest(run_id=parent.run_id)
    response = await server.call("DeleteRun", request, ANN)

    assert (response.deleted_count, response.pending_services[-2:]) == (3, ["logs", "metrics"])


@pytest.mark.parametrize(("service", "run_id"), [("live", "0123456789abcdef"), ("logs", "short")])
async def test_a_confirmation_by_nobody_or_of_no_run_is_refused(
    server: Server, service: str, run_id: str
) -> None:
    with pytest.raises(InvalidFieldError):
        await confirm(server, service, run_id)


async def test_figures_go_with_their_run(server: Server) -> None:
    run = await ended(server)
    told = runs_service_pb2.RunFigures(run_id=run.run_id, sequence=1)
    told.figures.add(key="accuracy", best=0.9)
    await server.call("ReportFigures", runs_service_pb2.ReportFiguresRequest(runs=[told]), SERVICE)
    assert (await rows_of(server, run.run_id))["run_figure"] == 1

    await delete(server, run.run_id)

    assert "run_figure" not in await rows_of(server, run.run_id)
