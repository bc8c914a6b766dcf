import asyncio
import random

import pytest

from support.redis_server import RedisServer
from support.run_views import RunView, plain, plain_task
from support.runs import (
    ADMIN,
    ANN,
    BEGINNING,
    BOB,
    COMPLETED,
    NOW,
    RUNNING,
    Cluster,
    Report,
    Run,
    Server,
    Watcher,
    after,
    closed,
    last,
    new_run_id,
    scope,
    state,
    task,
)
from trackside_journal import fanout
from trackside_journal.cursor import CursorMint, JournalKind
from trackside_journal.errors import CursorAheadError, CursorExpiredError, CursorForeignError
from trackside_journal.tasks import closing
from trackside_protos.runs.v1 import output_pb2, runs_service_pb2
from trackside_protos.watches.v1 import watch_start_pb2
from trackside_runs.states import OPEN_TASK_STATES
from trackside_serving.calls import Call
from trackside_serving.errors import InvalidFieldError, RunNotFoundError


async def busy(server: Server, run: Run, rounds: int = 6) -> None:
    """Report some of everything."""
    await server.report(run.run_id, state(RUNNING))
    for index in range(rounds):
        await server.report(
            run.run_id,
            scope("fold", index + 1, rounds),
            task(f"t{index}", "RUNNING", process=f"p{index % 2}"),
            task(f"t{index - 1}", "SUCCEEDED"),
            Report(output=output_pb2.Output(path=f"o{index % 3}")),
        )


async def end(server: Server, run: Run) -> None:
    await server.report(run.run_id, state(COMPLETED), closed())


async def assert_true(server: Server, run_id: str, view: RunView) -> None:
    """Compare what a watcher knows with the store."""
    run = await server.get(run_id)
    tasks = {t.task_id: plain_task(t) for t in await server.tasks(run_id)}
    request = runs_service_pb2.ListOutputsRequest(run_id=run_id)
    outputs = (await server.call("ListOutputs", request)).outputs
    assert view.run == plain(run)
    assert list(view.scopes.values()) == list(run.scopes)
    assert view.processes == {p.process: p for p in await server.processes(run_id)}
    assert view.open_tasks == {i: t for i, t in tasks.items() if t.state in OPEN_TASK_STATES}
    assert view.outputs.items() <= {o.path: o for o in outputs}.items()


async def test_from_the_beginning_everything_is_told_once_in_order(cluster: Cluster) -> None:
    run = await cluster.one.create()
    await busy(cluster.one, run)

    async with cluster.other.watch(run.run_id, BEGINNING) as watcher:
        await watcher.caught_up()
        await busy(cluster.one, run)
        await end(cluster.one, run)
        await watcher.ended()

    stored = await cluster.one.changes(run.run_id)
    assert watcher.changes == stored
    assert watcher.sequences == list(range(1, len(stored) + 1))
    assert watcher.changes[-1].run.sealed
    assert [r.caught_up for r in watcher.responses].count(True) == 1
    await assert_true(cluster.one, run.run_id, watcher.view)


@pytest.mark.parametrize(
    "start", [None, NOW, watch_start_pb2.WatchStart()], ids=["none", "NOW", "empty"]
)
async def test_the_present_state_and_the_changes_after_it_are_the_state(
    cluster: Cluster, start: watch_start_pb2.WatchStart | None
) -> None:
    run = await cluster.one.create(name="fit")
    await busy(cluster.one, run)

    async with cluster.other.watch(run.run_id, start) as watcher:
        await watcher.caught_up()
        await assert_true(cluster.one, run.run_id, watcher.view)
        known = watcher.view.run.sequence
        await busy(cluster.one, run)
        await end(cluster.one, run)
        await watcher.ended()

    assert watcher.responses[0].HasField("snapshot")
    assert not watcher.responses[0].cursor
    assert watcher.sequences == list(
        range(known + 1, (await cluster.one.get(run.run_id)).sequence + 1)
    )
    await assert_true(cluster.one, run.run_id, watcher.view)


async def test_the_present_state_while_everything_changes_is_the_state(cluster: Cluster) -> None:
    run = await cluster.one.create()
    reporting = asyncio.create_task(busy(cluster.one, run, 40))
    watchers: list[Watcher] = []
    for index in range(12):
        watchers.append((cluster.one, cluster.other)[index % 2].watch(run.run_id))
        await asyncio.sleep(0.01)
    await reporting
    await end(cluster.one, run)

    for watcher in watchers:
        async with watcher:
            await watcher.ended()
        await assert_true(cluster.one, run.run_id, watcher.view)
        first = watcher.sequences[0] if watcher.sequences else 0
        assert watcher.sequences == list(range(first, first + len(watcher.sequences)))


@pytest.mark.exhaustive
async def test_many_open_tasks_come_in_pages(cluster: Cluster) -> None:
    run = await cluster.one.create()
    for start in range(0, 1700, 850):
        await cluster.one.report(
            run.run_id,
            *(
                task(f"t{i}", ("PENDING", "RUNNING")[i % 2], process="fit")
                for i in range(start, start + 850)
            ),
        )

    async with cluster.other.watch(run.run_id) as watcher:
        await watcher.until(lambda: bool(watcher.responses))  # it begins while they are open
        await cluster.one.report(run.run_id, *(task(f"t{i}", "SUCCEEDED") for i in range(700)))
        await end(cluster.one, run)
        await watcher.ended()

    pages = [r.snapshot for r in watcher.responses if r.HasField("snapshot")]
    assert all(len(page.open_tasks) <= 500 for page in pages)
    assert pages[0].HasField("run")
    assert not pages[1].HasField("run")
    await assert_true(cluster.one, run.run_id, watcher.view)


async def test_the_last_changes_come_after_the_present_state(server: Server) -> None:
    run = await server.create()
    await busy(server, run)
    head = (await server.get(run.run_id)).sequence

    async with server.watch(run.run_id, last(5)) as watcher:
        await watcher.caught_up()

    assert watcher.responses[0].HasField("snapshot")
    assert watcher.sequences == list(range(head - 4, head + 1))


async def test_more_than_there_are_is_all_there_are(server: Server) -> None:
    run = await server.create()

    async with server.watch(run.run_id, last(1000)) as watcher:
        await watcher.caught_up()

    assert watcher.sequences == [1]


async def test_a_watch_goes_on_from_every_cursor_without_gap_or_repeat(cluster: Cluster) -> None:
    run = await cluster.one.create()
    await busy(cluster.one, run, 3)
    await end(cluster.one, run)
    head = (await cluster.one.get(run.run_id)).sequence
    mint = CursorMint("zzzzzzzzzzzzzzzz", JournalKind.RUNS)

    for position in range(head + 1):
        cursor = mint.encode(run.run_id, position)
        async with cluster.other.watch(run.run_id, after(cursor)) as watcher:
            await watcher.ended()
        assert watcher.sequences == list(range(position + 1, head + 1))


@pytest.mark.exhaustive
async def test_a_watch_that_is_cut_again_and_again_misses_nothing(cluster: Cluster) -> None:
    run = await cluster.one.create()
    reporting = asyncio.create_task(busy(cluster.one, run, 60))
    told: list[int] = []
    start = BEGINNING
    chance = random.Random(7)  # noqa: S311 - the same each time

    far = 60 * 5
    while not told or told[-1] < far:
        server = chance.choice([cluster.one, cluster.other])
        async with server.watch(run.run_id, start) as watcher:
            wanted = min(far, (told[-1] if told else 0) + chance.randrange(1, 30))
            await watcher.until(lambda w=watcher, n=wanted: w.sequences[-1:] >= [n])
        told += watcher.sequences
        start = after(watcher.responses[-1].cursor)
    await reporting

    assert told == list(range(1, len(told) + 1))


async def test_a_watch_of_a_sealed_run_sends_what_is_stored_and_ends(server: Server) -> None:
    run = await server.create()
    await busy(server, run, 2)
    await end(server, run)
    await server.report(run.run_id, Report(output=output_pb2.Output(path="late")))

    for start in (BEGINNING, NOW, last(3)):
        async with server.watch(run.run_id, start) as watcher:
            await watcher.ended()
        assert watcher.view.run.sealed
        assert watcher.has_caught_up


async def test_the_terminal_change_is_told_when_it_happens_and_the_seal_later(
    cluster: Cluster,
) -> None:
    run = await cluster.one.create()

    async with cluster.other.watch(run.run_id) as watcher:
        await watcher.caught_up()
        await cluster.one.report(run.run_id, state(COMPLETED))
        await watcher.until(lambda: watcher.view.run.state == COMPLETED)
        assert not watcher.view.run.sealed
        cluster.clock.advance(31)
        await cluster.one.look()
        await watcher.ended()

    assert watcher.view.run.sealed


async def test_a_cursor_that_is_not_ours_is_refused(server: Server) -> None:
    run = await server.create()
    other = await server.create()
    cursors = [
        CursorMint("yyyyyyyyyyyyyyyy", JournalKind.RUNS).encode(run.run_id, 1),
        CursorMint("zzzzzzzzzzzzzzzz", JournalKind.LOGS).encode(run.run_id, 1),
        CursorMint("zzzzzzzzzzzzzzzz", JournalKind.RUNS).encode(other.run_id, 1),
        "nonsense",
    ]

    for cursor in cursors:
        async with server.watch(run.run_id, after(cursor)) as watcher:
            with pytest.raises(CursorForeignError):
                await watcher.ended()


async def test_a_cursor_ahead_of_the_store_is_told(server: Server) -> None:
    run = await server.create()
    cursor = CursorMint("zzzzzzzzzzzzzzzz", JournalKind.RUNS).encode(run.run_id, 2)

    async with server.watch(run.run_id, after(cursor)) as watcher:
        with pytest.raises(CursorAheadError):
            await watcher.ended()


@pytest.mark.parametrize(
    ("start", "field"),
    [
        (last(-1), "start.last"),
        (last(100_001), "start.last"),
        (watch_start_pb2.WatchStart(position=7), "start.position"),  # pyright: ignore[reportArgumentType] - no such value
    ],
)
async def test_a_start_that_is_none_is_refused_before_anything_is_sent(
    server: Server, start: watch_start_pb2.WatchStart, field: str
) -> None:
    run = await server.create()

    async with server.watch(run.run_id, start) as watcher:
        with pytest.raises(InvalidFieldError) as refused:
            await watcher.ended()

    assert refused.value.violations[0].field == field
    assert watcher.responses == []


@pytest.mark.parametrize("caller", [ANN, BOB])
async def test_what_one_cannot_see_one_cannot_watch(server: Server, caller: object) -> None:
    run_id = (await server.create()).run_id if caller is BOB else new_run_id()

    async with server.watch(run_id, caller=BOB) as watcher:
        with pytest.raises(RunNotFoundError):
            await watcher.ended()


async def test_old_changes_of_ended_runs_are_forgotten_and_cursors_told(cluster: Cluster) -> None:
    run = await cluster.one.create()
    active = await cluster.one.create()
    await busy(cluster.one, run, 3)
    await end(cluster.one, run)
    cluster.clock.advance(8 * 86_400)
    await cluster.one.report(active.run_id, state(RUNNING))

    await cluster.one.application._watchman.forget_old_changes()

    assert await cluster.one.changes(run.run_id) == []
    assert len(await cluster.one.changes(active.run_id)) == 2
    async with cluster.other.watch(run.run_id, BEGINNING) as watcher:
        with pytest.raises(CursorExpiredError) as refused:
            await watcher.ended()
    earliest = after(refused.value.metadata["earliest"])
    async with cluster.other.watch(run.run_id, earliest) as watcher:
        await watcher.ended()
    assert watcher.sequences == []
    async with cluster.other.watch(run.run_id, NOW) as watcher:
        await watcher.ended()
    await assert_true(cluster.one, run.run_id, watcher.view)


async def test_changes_are_kept_while_a_run_is_active_and_for_seven_days(server: Server) -> None:
    run = await server.create()
    await server.report(run.run_id, state(RUNNING))
    server.clock.advance(30 * 86_400)
    await server.report(run.run_id, state(COMPLETED), closed())
    server.clock.advance(6 * 86_400)

    await server.application._watchman.forget_old_changes()

    assert len(await server.changes(run.run_id)) == 4


async def test_a_run_with_many_changes_is_forgotten_in_parts(server: Server) -> None:
    run = await server.create()
    for start in range(0, 6000, 1000):
        await server.report(
            run.run_id, *(task(f"{i}", "SUCCEEDED") for i in range(start, start + 1000))
        )
    await end(server, run)
    server.clock.advance(8 * 86_400)

    await server.application._watchman.forget_old_changes()

    assert await server.changes(run.run_id) == []
    assert (await server.get(run.run_id)).task_counts.succeeded == 6000


@pytest.mark.parametrize("method", ["WatchRun", "WatchRuns", "WatchRunDirectory"])
async def test_a_watch_that_is_left_is_followed_no_more(server: Server, method: str) -> None:
    run = await server.create()
    topics = server.application._hub.topics
    before = topics()
    request = {
        "WatchRun": runs_service_pb2.WatchRunRequest(run_id=run.run_id, start=BEGINNING),
        "WatchRuns": runs_service_pb2.WatchRunsRequest(start=BEGINNING),
        "WatchRunDirectory": runs_service_pb2.WatchRunDirectoryRequest(start=BEGINNING),
    }[method]

    async with closing(server.handler(method)(request, Call(ADMIN))) as stream:
        await anext(stream)
        during = topics()

    assert len(during) == len(before) + 1
    assert topics() == before


async def test_nothing_is_missed_while_redis_is_away(
    replicas: Cluster, redis_server: RedisServer
) -> None:
    cluster = replicas
    run = await cluster.one.create()

    async with cluster.other.watch(run.run_id, BEGINNING) as watcher:
        await watcher.caught_up()
        redis_server.kill()
        try:
            await busy(cluster.one, run, 3)
            await end(cluster.one, run)
            await watcher.ended()
        finally:
            redis_server.start()

    assert watcher.changes == await cluster.one.changes(run.run_id)


@pytest.fixture
def no_ticks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fanout, "TICK_SECONDS", 3600.0)


@pytest.mark.usefixtures("no_ticks")
async def test_news_come_at_once(cluster: Cluster) -> None:
    run = await cluster.one.create()

    async with cluster.other.watch(run.run_id) as watcher:
        await watcher.caught_up()
        for index in range(20):
            await cluster.one.report(run.run_id, scope("fold", index, 20))
            await watcher.until(lambda n=index + 1: len(watcher.changes) >= 2 * n)

    assert watcher.changes == (await cluster.one.changes(run.run_id))[1:]
