import asyncio
import itertools
import random
from collections.abc import AsyncIterator, Sequence

import numpy as np
import pytest

from support.conditions import until
from support.metrics import (
    ANN,
    BOB,
    REPORTER,
    RUN_ID,
    Metrics,
    RunMetrics,
    Watcher,
    batches,
    make_batch,
    make_block,
    watch_request,
)
from trackside_journal.errors import BatchConflictError
from trackside_serving.calls import Call
from trackside_serving.errors import InvalidFieldError, NotAllowedError, RunNotFoundError
from trackside_serving.identity import Caller, Role

LARGE = 300
"""So many points make a columnar chunk at once."""


def contents(count: int) -> list[bytes]:
    """Return batches of small and large blocks."""
    return list(
        batches(
            *(
                [
                    make_block("a", [float(index)], first_step=index),
                    make_block("b", np.arange(LARGE, dtype=float).tolist(), first_step=index),
                    make_block("a", [1.0, 2.0], first_step=index, fold="1"),
                ]
                for index in range(count)
            )
        )
    )


async def test_batches_are_acknowledged_once_they_are_stored(metrics: Metrics) -> None:
    through = await metrics.append(batches([make_block()], [make_block("b")]))

    assert through == 2
    assert [block.key for block in await metrics.blocks()] == ["loss", "b"]


async def test_each_block_gets_a_sequence_of_its_own(metrics: Metrics) -> None:
    await metrics.append(contents(3))

    assert [block.sequence for block in await metrics.blocks()] == list(range(1, 10))


async def test_blocks_come_back_as_they_were_sent(metrics: Metrics) -> None:
    sent = [
        make_block("a", [float("nan"), float("-inf")], steps=[5, -5], times=[-1, 1 << 62]),
        make_block("ä" * 256, [1.0], fold="3"),
        make_block("b", np.random.default_rng(1).normal(size=1000).tolist()),
    ]

    await metrics.append([make_batch(1, sent)])

    stored = await metrics.blocks()
    for index, block in enumerate(sent, 1):
        block.sequence = index
    assert [b.SerializeToString(deterministic=True) for b in stored] == [
        b.SerializeToString(deterministic=True) for b in sent
    ]


@pytest.mark.parametrize("seed", range(3))
async def test_batches_sent_three_times_shuffled_over_two_connections_count_once(
    metrics: Metrics, seed: int
) -> None:
    window = 20
    sent = contents(40)

    for start in range(0, len(sent), window):
        shuffled = sent[start : start + window] * 3
        random.Random(seed).shuffle(shuffled)  # noqa: S311 - no secret
        await asyncio.gather(metrics.append(shuffled[::2]), metrics.append(shuffled[1::2]))

    blocks = await metrics.blocks()
    assert [block.sequence for block in blocks] == list(range(1, 121))
    assert [block.steps[0] for block in blocks] == list(np.repeat(np.arange(40), 3))
    counts = {(s.key, dict(s.context).get("fold")): s.count for s in await metrics.list_series()}
    assert counts == {("a", None): 40, ("a", "1"): 80, ("b", None): 40 * LARGE}


async def test_producers_do_not_disturb_each_other(metrics: Metrics) -> None:
    def of(producer: str) -> Sequence[bytes]:
        return [
            make_batch(index, [make_block(producer, [float(index)])], producer_id=producer)
            for index in range(1, 31)
        ]

    await asyncio.gather(*(metrics.append(of(f"p{number}")) for number in range(4)))

    blocks = await metrics.blocks()
    assert [block.sequence for block in blocks] == list(range(1, 121))
    for number in range(4):
        own = [block.values[0] for block in blocks if block.key == f"p{number}"]
        assert own == list(range(1, 31))


async def test_what_was_stored_is_there_after_a_restart(run_metrics: RunMetrics) -> None:
    async with run_metrics() as before:
        await before.append(contents(3))
        stored = await before.blocks()
        listed = await before.list_series()

    async with run_metrics() as after:
        await after.append(contents(3))

        assert await after.blocks() == stored
        assert await after.list_series() == listed


async def test_a_refused_batch_changes_nothing_and_names_itself(metrics: Metrics) -> None:
    bad = [make_block("good"), make_block("\0")]

    with pytest.raises(InvalidFieldError) as caught:
        await metrics.append([*batches([make_block()]), make_batch(2, bad)])

    assert caught.value.metadata["batch_sequence"] == "2"
    assert caught.value.violations[0].field == "blocks[1].key"
    assert [block.key for block in await metrics.blocks()] == ["loss"]
    assert [series.key for series in await metrics.list_series()] == ["loss"]


async def test_the_number_of_a_refused_batch_stays_free(metrics: Metrics) -> None:
    with pytest.raises(InvalidFieldError):
        await metrics.append([make_batch(1, [])])

    assert await metrics.append([make_batch(1)]) == 1


async def test_other_bytes_under_a_number_that_was_used_are_refused(metrics: Metrics) -> None:
    await metrics.append([make_batch(1)])

    with pytest.raises(BatchConflictError):
        await metrics.append([make_batch(1, [make_block("other")])])

    assert len(await metrics.blocks()) == 1


async def test_points_that_come_after_the_seal_are_late(metrics: Metrics) -> None:
    await metrics.append(contents(1))
    await metrics.seal()

    await metrics.append([make_batch(2, [make_block("a"), make_block("b", [0.0] * LARGE)])])

    assert [block.late for block in await metrics.blocks()] == [False] * 3 + [True] * 2


@pytest.mark.parametrize(
    ("caller", "error"),
    [
        pytest.param(BOB, RunNotFoundError, id="another user"),
        pytest.param(
            Caller("x", Role.REPORTER, run_ids=frozenset({"1" * 16})),
            RunNotFoundError,
            id="reporter of another run",
        ),
        pytest.param(
            Caller("v", Role.VIEWER, projects=frozenset({"default"})), NotAllowedError, id="viewer"
        ),
    ],
)
async def test_who_may_not_report_is_refused(
    metrics: Metrics, caller: Caller, error: type[Exception]
) -> None:
    with pytest.raises(error):
        await metrics.append([make_batch(1)], caller)

    assert await metrics.blocks() == []


async def test_a_right_that_is_lost_counts_at_once(metrics: Metrics) -> None:
    async def feed() -> AsyncIterator[bytes]:
        yield make_batch(1)
        await metrics.directory.put(RUN_ID, owner="bob")
        await until(lambda: metrics.owner == "bob")
        yield make_batch(2)

    with pytest.raises(RunNotFoundError):
        async for _ in metrics.service.servicer.append_metrics(feed(), Call(ANN)):
            pass

    assert len(await metrics.blocks(caller=BOB)) == 1


async def test_a_watcher_that_comes_later_misses_nothing(metrics: Metrics) -> None:
    await metrics.append(contents(2))
    watcher = Watcher(metrics, watch_request(beginning=True))
    following = asyncio.create_task(watcher.follow())
    await until(lambda: watcher.caught_up)

    await metrics.append([make_batch(3)], REPORTER)

    await until(lambda: len(watcher.blocks) == 7)
    following.cancel()
    assert watcher.sequences == list(itertools.islice(itertools.count(1), 7))
