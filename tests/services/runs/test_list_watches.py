import asyncio
import random

import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from support.conditions import until
from support.runs import (
    ADMIN,
    ANN,
    BEGINNING,
    BOB,
    COMPLETED,
    NOW,
    RUNNING,
    Cluster,
    Server,
    after,
    closed,
    last,
    launched,
    state,
    sweep,
)
from trackside_journal.cursor import CursorMint, JournalKind
from trackside_journal.errors import CursorAheadError, CursorExpiredError, CursorForeignError
from trackside_protos.runs.v1 import run_pb2, runs_service_pb2
from trackside_serving.calls import Call
from trackside_serving.errors import InvalidFilterError, RunNotFoundError
from trackside_serving.identity import Caller, Role

SERVICE = Caller("logs", Role.SERVICE)


async def test_a_list_begins_with_its_members_and_goes_on_with_changes(cluster: Cluster) -> None:
    old = await cluster.one.create(name="old")

    async with cluster.other.watch_list() as watcher:
        await watcher.caught_up()
        assert set(watcher.members) == {old.run_id}
        new = await cluster.one.create(name="new")
        await cluster.one.report(new.run_id, state(RUNNING))
        await until(lambda: watcher.members.get(new.run_id, old).state == RUNNING)

    assert watcher.left == []


async def test_a_run_that_stops_matching_has_left(cluster: Cluster) -> None:
    run = await cluster.one.create()
    await cluster.one.report(run.run_id, state(RUNNING))

    async with cluster.other.watch_list("state=RUNNING") as watcher:
        await watcher.caught_up()
        assert set(watcher.members) == {run.run_id}
        await cluster.one.report(run.run_id, state(COMPLETED))
        await until(lambda: watcher.left == [run.run_id])

    assert watcher.members == {}


async def test_a_run_that_never_matched_is_not_spoken_of(server: Server) -> None:
    run = await server.create()

    async with server.watch_list("state=RUNNING") as watcher:
        await watcher.caught_up()
        await server.report(run.run_id, state(COMPLETED), closed())
        other = await server.create()
        await server.report(other.run_id, state(RUNNING))
        await until(lambda: bool(watcher.members))

    assert watcher.left == []
    assert set(watcher.members) == {other.run_id}


async def test_a_resumed_list_is_told_what_left_meanwhile(server: Server) -> None:
    run = await server.create()
    await server.report(run.run_id, state(RUNNING))
    async with server.watch_list("state=RUNNING") as watcher:
        await watcher.caught_up()
    await server.report(run.run_id, state(COMPLETED))

    async with server.watch_list("state=RUNNING", after(watcher.responses[-1].cursor)) as resumed:
        await until(lambda: resumed.left == [run.run_id])


async def test_the_changes_of_a_list_come_once_in_order(cluster: Cluster) -> None:
    runs = [await cluster.one.create() for _ in range(6)]
    stop = asyncio.Event()

    async def report() -> None:
        for number in range(12):
            await asyncio.gather(
                *(
                    (cluster.one, cluster.other)[number % 2].call(
                        "UpdateRun",
                        runs_service_pb2.UpdateRunRequest(
                            run=run_pb2.Run(run_id=run.run_id, notes=f"{number}"),
                            update_mask=FieldMask(paths=["notes"]),
                        ),
                    )
                    for run in runs
                )
            )
        stop.set()

    reporting = asyncio.create_task(report())
    positions: list[int] = []
    start, chance = BEGINNING, random.Random(3)  # noqa: S311 - the same each time
    while True:
        is_over = stop.is_set()
        async with chance.choice([cluster.one, cluster.other]).watch_list(
            start=start, caller=ADMIN
        ) as watcher:
            if is_over:
                await watcher.caught_up()
            else:
                await watcher.until(lambda w=watcher: bool(w.responses))
        positions += [c.position for r in watcher.responses for c in r.changes]
        start = after(watcher.responses[-1].cursor) if watcher.responses else start
        if is_over:
            break
    await reporting

    assert positions == sorted(set(positions))
    assert len(positions) == 6 + 6 * 12


async def test_the_present_list_and_its_changes_are_the_list(cluster: Cluster) -> None:
    async def churn() -> None:
        for number in range(25):
            run = await cluster.one.create(tags=["a"] if number % 2 else ["b"])
            await cluster.one.report(run.run_id, state(RUNNING))
            if number % 3:
                await cluster.one.report(run.run_id, state(COMPLETED), closed())

    churning = asyncio.create_task(churn())
    await asyncio.sleep(0.05)
    filter_ = "tag:a (state=COMPLETED OR state=RUNNING)"
    async with cluster.other.watch_list(filter_) as watcher:
        await churning
        await watcher.is_the_list(cluster.one, filter_)


async def test_what_the_present_list_has_is_not_told_again(server: Server) -> None:
    runs = [await server.create() for _ in range(3)]

    async with server.watch_list() as watcher:
        await watcher.caught_up()
        await server.report(runs[0].run_id, state(RUNNING))
        await until(lambda: watcher.members[runs[0].run_id].state == RUNNING)

    assert [c.run.run_id for r in watcher.responses for c in r.changes] == [runs[0].run_id]


async def test_runs_of_others_are_not_in_the_list_nor_leave_it(server: Server) -> None:
    theirs = await server.create(caller=BOB)
    async with server.watch_list("state=RUNNING", caller=ANN) as watcher:
        await watcher.caught_up()
    await server.report(theirs.run_id, state(RUNNING), caller=BOB)
    await server.report(theirs.run_id, state(COMPLETED), closed(), caller=BOB)
    own = await server.create()
    await server.report(own.run_id, state(RUNNING))

    async with server.watch_list("state=RUNNING", after(watcher.responses[-1].cursor)) as resumed:
        await until(lambda: own.run_id in resumed.members)

    assert set(resumed.members) == {own.run_id}
    assert theirs.run_id not in resumed.left


async def test_members_of_a_project_see_its_runs(server: Server) -> None:
    run = await server.create(project="blue")
    member = Caller("bob", Role.USER, projects=frozenset({"blue"}))

    async with server.watch_list(caller=member) as watcher:
        await watcher.caught_up()

    assert set(watcher.members) == {run.run_id}


async def test_the_last_changes_of_a_list_follow_its_members(server: Server) -> None:
    run = await server.create()
    await server.report(run.run_id, state(RUNNING))

    async with server.watch_list(start=last(2)) as watcher:
        await watcher.caught_up()

    assert [c.run.state for r in watcher.responses for c in r.changes] == [1, RUNNING]


async def test_a_sweep_is_in_the_list_with_all_its_children(cluster: Cluster) -> None:
    async with cluster.other.watch_list("runner=local") as watcher:
        await watcher.caught_up()
        parent = await cluster.one.create(sweep(a=range(30)))
        await until(
            lambda: (
                len(watcher.members) == 31
                and watcher.members[parent.run_id].children.counts["PENDING"] == 30
            )
        )

    assert not watcher.left


async def test_cursors_of_a_list_are_its_own(server: Server) -> None:
    run = await server.create()
    mint = CursorMint("zzzzzzzzzzzzzzzz", JournalKind.RUN_LIST)
    wrong = CursorMint("zzzzzzzzzzzzzzzz", JournalKind.RUNS).encode(run.run_id, 1)

    for cursor, error in ((wrong, CursorForeignError), (mint.encode("*", 99), CursorAheadError)):
        async with server.watch_list(start=after(cursor)) as watcher:
            with pytest.raises(error):
                await watcher.ended()


async def test_a_list_cursor_before_what_was_forgotten_is_told(server: Server) -> None:
    run = await server.create()
    async with server.watch_list() as watcher:
        await watcher.caught_up()
    early = watcher.responses[-1].cursor
    await server.report(run.run_id, state(COMPLETED), closed())
    server.clock.advance(8 * 86_400)
    await server.create()

    await server.application._watchman.forget_old_changes()

    async with server.watch_list(start=after(early)) as watcher:
        with pytest.raises(CursorExpiredError) as refused:
            await watcher.ended()
    async with server.watch_list(start=after(refused.value.metadata["earliest"])) as watcher:
        await until(lambda: len(watcher.members) == 1)


async def test_an_impossible_filter_is_refused_before_anything_is_sent(server: Server) -> None:
    await server.create()

    async with server.watch_list("state=NOWHERE") as watcher:
        with pytest.raises(InvalidFilterError) as refused:
            await watcher.ended()

    assert refused.value.metadata["position"] == "6"
    assert watcher.responses == []


# The directory.


class DirectoryWatcher:
    def __init__(self, server: Server, request: runs_service_pb2.WatchRunDirectoryRequest) -> None:
        self.entries: dict[str, runs_service_pb2.RunDirectoryEntry] = {}
        self.cursor = ""
        self.has_caught_up = False
        self._stream = server.handler("WatchRunDirectory")(request, Call(SERVICE))
        self.task = asyncio.create_task(self._follow())

    async def _follow(self) -> None:
        async for raw in self._stream:
            response = runs_service_pb2.WatchRunDirectoryResponse.FromString(raw)
            self.entries |= {entry.run_id: entry for entry in response.entries}
            self.cursor = response.cursor or self.cursor
            self.has_caught_up |= response.caught_up

    async def stop(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


async def test_the_directory_tells_whose_every_run_is_and_when_it_is_sealed(
    cluster: Cluster,
) -> None:
    runs = [await cluster.one.create(project="blue") for _ in range(3)]
    watcher = DirectoryWatcher(cluster.other, runs_service_pb2.WatchRunDirectoryRequest(start=NOW))
    await until(lambda: watcher.has_caught_up)
    assert set(watcher.entries) == {run.run_id for run in runs}
    assert {(e.owner, e.project, e.sealed) for e in watcher.entries.values()} == {
        ("ann", "blue", False)
    }

    await cluster.one.report(runs[0].run_id, state(COMPLETED), closed())
    new = await cluster.one.create()
    await until(lambda: watcher.entries[runs[0].run_id].sealed and new.run_id in watcher.entries)
    await watcher.stop()

    assert watcher.entries[runs[0].run_id].HasField("end_time")


async def test_the_directory_goes_on_from_a_cursor(cluster: Cluster) -> None:
    await cluster.one.create()
    first = DirectoryWatcher(cluster.one, runs_service_pb2.WatchRunDirectoryRequest())
    await until(lambda: first.has_caught_up)
    await first.stop()
    new = await cluster.one.create(launched())

    resumed = DirectoryWatcher(
        cluster.other, runs_service_pb2.WatchRunDirectoryRequest(start=after(first.cursor))
    )
    await until(lambda: resumed.has_caught_up)
    await resumed.stop()

    assert set(resumed.entries) == {new.run_id}


async def test_the_directory_is_told_in_pages(server: Server) -> None:
    await server.create(sweep(a=range(40), b=range(40)))

    watcher = DirectoryWatcher(server, runs_service_pb2.WatchRunDirectoryRequest())
    await until(lambda: watcher.has_caught_up)
    await watcher.stop()

    assert len(watcher.entries) == 1601


async def test_one_entry_is_given_at_once(server: Server) -> None:
    run = await server.create()

    watcher = DirectoryWatcher(server, runs_service_pb2.WatchRunDirectoryRequest(run_id=run.run_id))
    await watcher.task

    assert set(watcher.entries) == {run.run_id}


async def test_an_entry_that_is_not_there_is_not_found(server: Server) -> None:
    watcher = DirectoryWatcher(
        server, runs_service_pb2.WatchRunDirectoryRequest(run_id="0123456789abcdef")
    )

    with pytest.raises(RunNotFoundError):
        await watcher.task
