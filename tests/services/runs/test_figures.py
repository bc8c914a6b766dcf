import math

import pytest

from support.conditions import until
from support.runs import (
    ANN,
    COMPLETED,
    RUNNING,
    Cluster,
    Run,
    Server,
    after,
    closed,
    state,
)
from trackside_protos.runs.v1 import runs_service_pb2
from trackside_protos.runs.v1.run_pb2 import SeriesFigure
from trackside_serving.errors import InvalidFieldError, InvalidFilterError
from trackside_serving.identity import Caller, Role

SERVICE = Caller("metrics", Role.SERVICE)


def figure(key: str, best: float, last: float | None = None, **context: str) -> SeriesFigure:
    return SeriesFigure(key=key, best=best, last=best if last is None else last, context=context)


async def tell(server: Server, run_id: str, *figures: SeriesFigure, sequence: int = 1) -> None:
    told = runs_service_pb2.RunFigures(run_id=run_id, sequence=sequence, figures=figures)
    request = runs_service_pb2.ReportFiguresRequest(runs=[told])
    await server.call("ReportFigures", request, SERVICE)


async def names(server: Server, filter_: str = "", **fields: str) -> list[str]:
    return [run.name for run in await server.runs(filter_, ANN, **fields)]  # pyright: ignore[reportArgumentType] - any fields


async def zoo(server: Server) -> dict[str, Run]:
    runs = {name: await server.create(name=name) for name in ("good", "bad", "folds", "none")}
    await tell(server, runs["good"].run_id, figure("accuracy", 0.95, 0.9))
    await tell(server, runs["bad"].run_id, figure("accuracy", 0.3), figure("train/loss", 2.5, 4))
    await tell(
        server,
        runs["folds"].run_id,
        figure("accuracy", 0.2, fold="1"),
        figure("accuracy", 0.97, 0.1, fold="2"),
    )
    return runs


@pytest.mark.parametrize(
    ("filter_", "found"),
    [
        ("best.accuracy > 0.9", {"good", "folds"}),
        ("best.accuracy > 0.9 AND last.accuracy > 0.5", {"good"}),
        ("best.accuracy < 0.5", {"bad", "folds"}),
        ("NOT best.accuracy > 0.9", {"bad", "none"}),
        ("best.accuracy:*", {"good", "bad", "folds"}),
        ('best."train/loss" <= 2.5 last.train/loss = 4', {"bad"}),
        ("best:accuracy", {"good", "bad", "folds"}),
    ],
)
async def test_runs_are_found_by_last_and_best(
    cluster: Cluster, filter_: str, found: set[str]
) -> None:
    await zoo(cluster.one)

    assert set(await names(cluster.other, filter_)) == found


@pytest.mark.parametrize(
    ("order", "found"),
    [
        ("best.accuracy desc", ["folds", "good", "bad", "none"]),
        ("best.accuracy", ["folds", "bad", "good", "none"]),
        ("last.accuracy desc", ["good", "bad", "folds", "none"]),
    ],
)
async def test_runs_are_ordered_by_last_and_best(
    cluster: Cluster, order: str, found: list[str]
) -> None:
    await zoo(cluster.one)
    request = runs_service_pb2.ListRunsRequest(order_by=order, page_size=1)

    listed: list[str] = []
    while True:
        page = await cluster.other.call("ListRuns", request)
        listed += [run.name for run in page.runs]
        request.page_token = page.next_page_token
        if not request.page_token:
            break

    assert listed == found


async def test_figures_are_in_the_run_wherever_it_is_shown(server: Server) -> None:
    run = await server.create()
    await tell(server, run.run_id, figure("b", 2), figure("a", 1, fold="1"), figure("a", 0))

    [listed] = await server.runs()

    shown = [(f.key, dict(f.context), f.best) for f in listed.series_figures]
    assert shown == [("a", {}, 0), ("a", {"fold": "1"}, 1), ("b", {}, 2)]
    assert (await server.get(run.run_id)).series_figures == listed.series_figures
    assert (await server.changes(run.run_id))[-1].run.series_figures == listed.series_figures


async def test_a_live_list_sees_a_run_enter_and_leave_by_its_figures(cluster: Cluster) -> None:
    run = await cluster.one.create()

    async with cluster.other.watch_list("last.accuracy > 0.9") as watcher:
        await watcher.caught_up()
        await tell(cluster.one, run.run_id, figure("accuracy", 0.95))
        await until(lambda: run.run_id in watcher.members)
        await tell(cluster.one, run.run_id, figure("accuracy", 0.95, 0.5), sequence=2)
        await until(lambda: watcher.left == [run.run_id])

    assert watcher.members == {}


async def test_a_watch_of_the_run_goes_on_over_figures_without_a_gap(server: Server) -> None:
    run = await server.create()
    async with server.watch(run.run_id) as watcher:
        await watcher.caught_up()
    await tell(server, run.run_id, figure("accuracy", 0.95))
    await server.report(run.run_id, state(RUNNING), state(COMPLETED), closed())

    async with server.watch(run.run_id, after(watcher.responses[-1].cursor)) as resumed:
        await resumed.ended()

    first = run.sequence + 1
    assert resumed.sequences == list(range(first, first + len(resumed.sequences)))
    assert resumed.view.run.series_figures[0].best == 0.95


async def test_older_figures_and_repeated_ones_change_nothing(cluster: Cluster) -> None:
    run = await cluster.one.create()
    await tell(cluster.one, run.run_id, figure("accuracy", 0.9), sequence=5)
    before = await cluster.one.get(run.run_id)

    await tell(cluster.other, run.run_id, figure("accuracy", 0.1), sequence=4)
    await tell(cluster.other, run.run_id, figure("accuracy", 0.1), sequence=5)
    await tell(cluster.other, run.run_id, figure("accuracy", 0.9), sequence=6)

    after_all = await cluster.one.get(run.run_id)
    assert after_all.series_figures == before.series_figures
    assert after_all.sequence == before.sequence


async def test_figures_are_replaced_as_a_whole(server: Server) -> None:
    run = await server.create()
    await tell(server, run.run_id, figure("old", 1), figure("kept", 1), sequence=1)

    await tell(server, run.run_id, figure("kept", 2), figure("new", 3), sequence=2)

    assert await server.runs("best.old:*") == []
    assert len(await server.runs("best.kept = 2 AND best.new = 3")) == 1


async def test_figures_that_come_after_the_seal_are_kept(server: Server) -> None:
    run = await server.create()
    await server.report(run.run_id, state(RUNNING), state(COMPLETED), closed())
    assert (await server.get(run.run_id)).sealed

    await tell(server, run.run_id, figure("accuracy", 0.9))

    assert len(await server.runs("best.accuracy = 0.9 AND state = COMPLETED")) == 1


async def test_what_is_no_number_is_absent(server: Server) -> None:
    run = await server.create()

    await tell(server, run.run_id, figure("loss", math.inf, math.nan))

    assert len(await server.runs("best.loss > 1e300 AND NOT last.loss:*")) == 1


async def test_runs_that_do_not_exist_are_passed_over(server: Server) -> None:
    run = await server.create()
    request = runs_service_pb2.ReportFiguresRequest()
    for run_id in ("0123456789abcdef", run.run_id):
        request.runs.add(run_id=run_id, sequence=1, figures=[figure("a", 1)])

    await server.call("ReportFigures", request, SERVICE)

    assert len(await server.runs("best.a = 1")) == 1


async def test_no_more_than_64_figures_are_taken(server: Server) -> None:
    run = await server.create()

    with pytest.raises(InvalidFieldError):
        await tell(server, run.run_id, *(figure(f"k{i}", 1) for i in range(65)))


@pytest.mark.parametrize("filter_", ["best > 1", "best.accuracy > high", "best.accuracy:0.*"])
async def test_a_filter_of_no_figure_is_refused(server: Server, filter_: str) -> None:
    with pytest.raises(InvalidFilterError):
        await server.runs(filter_)


async def test_a_created_run_has_no_figures_of_its_maker(server: Server) -> None:
    run = await server.create(Run(series_figures=[figure("accuracy", 1)]))

    assert list(run.series_figures) == []
