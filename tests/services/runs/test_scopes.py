import pytest

from support.runs import COMPLETED, FAILED, RUNNING, Cluster, Server, at, scope, state
from trackside_protos.runs.v1 import run_pb2


async def test_a_scope_counts_and_tells_how_far_the_run_is(cluster: Cluster) -> None:
    run = await cluster.one.create()
    for done in range(4):
        told = at(10 * done, scope("fold", done, 5, message=f"Fitting fold {done + 1}/5"))
        await (cluster.one, cluster.other)[done % 2].report(run.run_id, told)

    run = await cluster.one.get(run.run_id)

    [fold] = run.scopes
    assert (fold.completed_count, fold.percent) == (3, pytest.approx(60))
    assert fold.median_item_duration.seconds == 10
    assert fold.remaining_duration.seconds == 20
    assert fold.start_time.seconds == 1_700_000_000
    assert run.progress.percent == pytest.approx(60)
    assert run.progress.remaining_duration.seconds == 20
    assert run.progress.message == "Fitting fold 4/5"
    assert run_pb2.RUN_FACET_SCOPES in run.facets


async def test_below_three_ended_items_nothing_is_estimated(server: Server) -> None:
    run = await server.create()
    for done in range(3):
        await server.report(run.run_id, at(10 * done, scope("fold", done, 5)))

    assert not (await server.get(run.run_id)).progress.HasField("remaining_duration")


async def test_nested_scopes_are_counted_together(server: Server) -> None:
    run = await server.create()

    await server.report(run.run_id, scope("variant", 1, 4), scope("variant/fold", 1, 2))

    assert (await server.get(run.run_id)).progress.percent == pytest.approx(37.5)


async def test_a_completed_run_is_all_done(server: Server) -> None:
    run = await server.create()
    await server.report(run.run_id, state(RUNNING), scope("fold", 1, 5))

    await server.report(run.run_id, state(COMPLETED))

    assert (await server.get(run.run_id)).progress.percent == 100


@pytest.mark.parametrize("is_one_batch", [True, False])
async def test_a_run_that_broke_off_is_as_far_as_it_came(
    server: Server, *, is_one_batch: bool
) -> None:
    run = await server.create()
    await server.report(run.run_id, state(RUNNING), scope("fold", 1, 5))
    ended = scope("fold", 2, 5)
    ended.scope.end_time.GetCurrentTime()
    told = [ended, state(FAILED)]

    for reports in [told] if is_one_batch else [[each] for each in told]:
        await server.report(run.run_id, *reports)

    progress = (await server.get(run.run_id)).progress
    assert (progress.percent, progress.HasField("remaining_duration")) == (40, False)


async def test_a_protected_run_that_completed_its_work_is_all_done(server: Server) -> None:
    run = await server.create(run_pb2.Run(termination_protection=True))
    await server.report(run.run_id, state(RUNNING), scope("fold", 1, 5))

    await server.report(run.run_id, state(COMPLETED))

    assert (await server.get(run.run_id)).progress.percent == 100


async def test_of_many_scopes_the_newest_are_shown_and_all_are_known(server: Server) -> None:
    run = await server.create()
    for start in range(0, 600, 100):
        await server.report(
            run.run_id,
            *(at(start, scope(f"s{number}", 0, 2)) for number in range(start, start + 100)),
        )

    await server.report(run.run_id, at(1000, scope("s3", 1, 2)), scope("s599", 2, 2))

    shown = (await server.get(run.run_id)).scopes
    told = [c.scope for c in await server.changes(run.run_id) if c.HasField("scope")]
    assert [each.path for each in shown] == [f"s{number}" for number in range(344, 600)]
    assert shown[-1].completed_count == 2
    assert told[-2].start_time.seconds == 1_700_000_000
