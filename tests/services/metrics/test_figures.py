import asyncio
import math
import threading
from collections.abc import Callable

import pytest
from sqlalchemy import Connection

from support.conditions import until
from support.leftover_rows import rows_of
from support.metrics import (
    ANN,
    RUN_ID,
    Metrics,
    RunMetrics,
    batches,
    make_batch,
    make_block,
    training_steps,
)
from support.run_directory import RunDirectoryStandIn
from trackside_metrics import figure_reporter
from trackside_metrics.bootstrap import TABLES
from trackside_metrics.figures import MOST_SERIES, RunFigures
from trackside_metrics.identities import Identities
from trackside_protos.runs.v1.run_pb2 import SeriesFigure

OTHER = "1123456789abcdef"
Figures = dict[tuple[str, str], SeriesFigure]


def told(directory: RunDirectoryStandIn, run_id: str = RUN_ID) -> Figures:
    """Return what was told last of a run, by key and fold."""
    every = directory.figures.get(run_id)
    return {(f.key, f.context.get("fold", "")): f for f in every[-1].figures} if every else {}


def has(directory: RunDirectoryStandIn, key: str, *, best: float) -> Callable[[], bool]:
    return lambda: told(directory).get((key, ""), SeriesFigure()).best == best


async def rows(metrics: Metrics) -> dict[str, int]:
    return await metrics.service.database.read(
        lambda connection: rows_of(connection, TABLES, RUN_ID)
    )


async def test_last_and_best_are_told(metrics: Metrics) -> None:
    blocks = [
        make_block("loss", [3.0, 1.0, 2.0]),
        make_block("accuracy", [0.5, 0.9, 0.7]),
        make_block("accuracy", [0.8], fold="2"),
    ]
    await metrics.append(batches(blocks))

    await until(lambda: bool(told(metrics.directory)))

    found = {key: (f.last, f.best) for key, f in told(metrics.directory).items()}
    assert found == {
        ("loss", ""): (2, 1),
        ("accuracy", ""): (0.7, 0.9),
        ("accuracy", "2"): (0.8, 0.8),
    }
    assert metrics.directory.figures[RUN_ID][-1].sequence == 3


async def test_what_comes_later_is_told_too(metrics: Metrics) -> None:
    await metrics.append([make_batch(1, [make_block("accuracy", [0.5])])])
    await until(has(metrics.directory, "accuracy", best=0.5))

    large = make_block("accuracy", [0.6] * 500, first_step=1)
    small = make_block("accuracy", [0.9], first_step=501)
    await metrics.append([make_batch(2, [large]), make_batch(3, [small])])

    await until(has(metrics.directory, "accuracy", best=0.9))


async def test_figures_stay_what_they_are_when_points_are_merged(metrics: Metrics) -> None:
    await metrics.append(training_steps(40, keys=2))
    await until(has(metrics.directory, "metric_1", best=1 + 39 / 7))
    await metrics.merge()
    await metrics.append([make_batch(41, [make_block("metric_0", [-5.0], first_step=40)])])

    await until(lambda: told(metrics.directory)["metric_0", ""].last == -5)

    listed = {series.key: series for series in await metrics.list_series()}
    for (key, _), figure in told(metrics.directory).items():
        assert (figure.last, figure.best) == (listed[key].last, listed[key].best)


async def test_what_is_no_number_is_left_out(metrics: Metrics) -> None:
    await metrics.append(batches([make_block("a", [1.0, math.nan]), make_block("b", [math.nan])]))

    await until(lambda: bool(told(metrics.directory)))

    found = told(metrics.directory)
    assert (found["a", ""].HasField("last"), found["a", ""].best) == (False, 1)
    assert not found["b", ""].HasField("best")


async def test_of_many_series_the_most_telling_are_told(metrics: Metrics) -> None:
    contents = [
        [make_block(f"system/{i}") for i in range(20)],
        [make_block("folds", fold=str(i)) for i in range(60)],
        [make_block(f"own {i}") for i in range(50)],
        [make_block("long", fold="x" * 600)],
    ]
    await metrics.append(batches(*contents))

    await until(lambda: ("own 49", "") in told(metrics.directory))

    keys = [key for key, _ in told(metrics.directory)]
    assert len(keys) == MOST_SERIES
    assert {f"own {i}" for i in range(50)} < set(keys)
    assert keys.count("folds") == MOST_SERIES - 50


async def test_a_run_is_told_about_once_a_second(metrics: Metrics) -> None:
    loop = asyncio.get_running_loop()
    began, step = loop.time(), 0
    while loop.time() - began < 2:
        step += 1
        await metrics.append([make_batch(step, [make_block("a", [step])])])

    await until(has(metrics.directory, "a", best=step))

    assert len(metrics.directory.figures[RUN_ID]) <= loop.time() - began + 1


async def test_while_runs_service_is_away_the_latest_waits(
    run_metrics: RunMetrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(figure_reporter, "_RETRY_SECONDS", 0.05)
    directory = RunDirectoryStandIn()
    async with run_metrics(directory) as metrics:
        directory.is_away = True
        for step in range(5):
            await metrics.append([make_batch(step + 1, [make_block("a", [step])])])
            refused = directory.refused
            await until(lambda refused=refused: directory.refused > refused)
        assert told(directory) == {}

        directory.is_away = False
        await until(has(directory, "a", best=4))


async def test_what_was_not_told_is_told_by_the_next_process(run_metrics: RunMetrics) -> None:
    directory = RunDirectoryStandIn()
    directory.is_away = True
    async with run_metrics(directory) as metrics:
        await metrics.append([make_batch(1, [make_block("a", [7.0])])])

    directory.is_away = False
    async with run_metrics(directory):
        await until(has(directory, "a", best=7))


async def test_what_was_told_is_not_told_again(run_metrics: RunMetrics) -> None:
    directory = RunDirectoryStandIn()
    await directory.put(OTHER)
    async with run_metrics(directory) as metrics:
        await metrics.append([make_batch(1, [make_block("a", [7.0])])])
        while not (await rows(metrics)).get("told"):  # noqa: ASYNC110 - in the store
            await asyncio.sleep(0.01)

    async with run_metrics(directory) as metrics:
        await metrics.append([make_batch(1, [make_block("a")], run_id=OTHER)], ANN)
        await until(lambda: bool(told(directory, OTHER)))

    assert len(directory.figures[RUN_ID]) == 1


async def test_more_runs_than_wait_in_memory_are_found_in_the_store(
    metrics: Metrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(figure_reporter, "_WAITING_RUNS", 2)
    run_ids = [f"{number}123456789abcdef" for number in range(1, 7)]
    for run_id in run_ids:
        await metrics.directory.put(run_id)
        await metrics.append([make_batch(1, [make_block("a")], run_id=run_id)], ANN)

    await until(lambda: all(run_id in metrics.directory.figures for run_id in run_ids))


async def test_runs_for_which_there_is_no_room_during_a_search_are_found_by_another(
    metrics: Metrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    has_searched, go = threading.Event(), threading.Event()
    search = figure_reporter._untold

    def search_slowly(connection: Connection, limit: int) -> list[str]:
        found = search(connection, limit)
        has_searched.set()
        assert go.wait(20)
        return found

    monkeypatch.setattr(figure_reporter, "_WAITING_RUNS", 2)
    monkeypatch.setattr(figure_reporter, "_untold", search_slowly)
    reporter = metrics.service.figures
    reporter._next_sweep = reporter._clock()
    reporter._wake.set()
    await until(has_searched.is_set)
    run_ids = [f"{number}123456789abcdef" for number in range(1, 5)]
    for run_id in run_ids:
        await metrics.directory.put(run_id)
        await metrics.append([make_batch(1, [make_block("a")], run_id=run_id)], ANN)

    go.set()

    await until(lambda: all(run_id in metrics.directory.figures for run_id in run_ids))


async def test_the_figures_of_a_sealed_run_do_not_wait(
    metrics: Metrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    reporter = metrics.service.figures
    now = reporter._clock()
    monkeypatch.setattr(reporter, "_clock", lambda: now)  # however long it takes
    await metrics.append([make_batch(1, [make_block("a", [1.0])])])
    await until(lambda: RUN_ID in reporter._remembered)
    reporter._remembered[RUN_ID].first_told -= 3600  # as if it were at work for an hour
    await metrics.append([make_batch(2, [make_block("a", [2.0], first_step=1)])])
    waits = reporter._due[RUN_ID] - now

    await metrics.seal()

    await until(has(metrics.directory, "a", best=2))
    assert waits > 5


async def test_of_a_deleted_run_nothing_is_told(metrics: Metrics) -> None:
    await metrics.append([make_batch(1, [make_block("a", [1.0])])])
    await until(has(metrics.directory, "a", best=1))

    await metrics.directory.put(RUN_ID, deleted=True)
    while await rows(metrics) != {"directory": 1}:  # noqa: ASYNC110 - in the store
        await asyncio.sleep(0.01)

    figures = RunFigures(RUN_ID)
    await metrics.service.database.read(lambda connection: figures.read(connection, Identities()))
    assert figures.sequence == 0
