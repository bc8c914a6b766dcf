import math

import numpy as np
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from support.metrics import (
    ANN,
    BOB,
    RUN_ID,
    ListSeriesRequest,
    Metrics,
    RunMetrics,
    SeriesFilter,
    batches,
    make_batch,
    make_block,
)
from trackside_protos.metrics.v1 import series_pb2
from trackside_serving.errors import InvalidFieldError, InvalidPageTokenError, RunNotFoundError

VALUES = st.one_of(st.floats(-1e6, 1e6), st.sampled_from([math.nan, math.inf, -math.inf]))
POINT = st.tuples(st.integers(-4, 4), st.integers(0, 9), VALUES)
BLOCK = st.tuples(
    st.sampled_from(["a", "b/loss"]),
    st.lists(POINT, min_size=1, max_size=5),
    st.sampled_from([1, 100]),
)
RUN = st.lists(st.lists(BLOCK, min_size=1, max_size=4), min_size=1, max_size=8)
Point = tuple[int, int, float]
Block = tuple[str, list[Point], int]


def block_of(block: Block) -> series_pb2.PointBlock:
    """Return a block with the points repeated so many times: then it is large."""
    key, points, times = block
    steps, moments, values = zip(*(points * times), strict=True)
    return make_block(key, values, steps=steps, times=moments)


def expected_of(key: str, points: list[Point]) -> series_pb2.Series:
    steps, times, values = zip(*points, strict=True)
    numbers = np.array([value for value in values if not math.isnan(value)])
    last = max(range(len(points)), key=lambda index: (steps[index], index))
    expected = series_pb2.Series(
        key=key,
        count=len(points),
        nan_count=len(points) - len(numbers),
        last=values[last],
        last_step=steps[last],
        last_time_millis=times[last],
        first_step=min(steps),
        goal=series_pb2.SERIES_GOAL_MINIMIZE if "loss" in key else series_pb2.SERIES_GOAL_MAXIMIZE,
    )
    if len(numbers):
        with np.errstate(all="ignore"):
            expected.mean = numbers.mean()
        expected.minimum, expected.maximum = numbers.min(), numbers.max()
        expected.best = expected.minimum if "loss" in key else expected.maximum
    return expected


def is_same(found: series_pb2.Series, expected: series_pb2.Series) -> bool:
    """Whether two are the same, but for the rounding of the mean and the signs of zeros.

    SQLite keeps no sign of a zero in a column of figures, nor does the least of two zeros have one.
    """
    if not np.isclose(found.mean, expected.mean, rtol=1e-6, atol=1e-6, equal_nan=True):
        return False
    copies = [series_pb2.Series.FromString(each.SerializeToString()) for each in (found, expected)]
    for copy in copies:
        copy.last += 0.0
        if expected.HasField("mean"):
            copy.mean = expected.mean
            copy.minimum, copy.maximum, copy.best = (
                each + 0.0 for each in (copy.minimum, copy.maximum, copy.best)
            )
    return copies[0].SerializeToString() == copies[1].SerializeToString()


@pytest.mark.exhaustive
@pytest.mark.parametrize("merges", [0, 1, 2], ids=["unmerged", "merged", "merged within"])
@given(run=RUN)
@example(run=[[("a", [(0, 0, 0.0)], 2)], [("a", [(0, 0, -0.0)], 1)]])
@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_the_figures_are_those_of_all_points(
    run_metrics: RunMetrics, merges: int, run: list[list[Block]]
) -> None:
    async with run_metrics() as metrics:
        run_id = f"{np.random.default_rng().integers(10**15, 10**16)}"
        await metrics.directory.put(run_id)
        points: dict[str, list[Point]] = {}
        for number, blocks in enumerate(run, 1):
            for key, some, times in blocks:
                points.setdefault(key, []).extend(some * times)
            await metrics.append(
                [make_batch(number, map(block_of, blocks), run_id=run_id)], caller=ANN
            )
            if merges == 2 and number % 3 == 0:
                await metrics.service.merger.merge(run_id, enough=1, is_final=False)
        if merges == 1:
            await metrics.service.merger.merge(run_id, enough=1, is_final=False)

        found = await metrics.list_series(ListSeriesRequest(run_id=run_id))

        assert [series.key for series in found] == sorted(points)
        for series in found:
            assert is_same(series, expected_of(series.key, points[series.key]))


async def test_series_come_in_order_of_key_then_context(metrics: Metrics) -> None:
    await metrics.append(
        batches(
            [make_block("b"), make_block("a", fold="2"), make_block("Z"), make_block("ä")],
            [make_block("a"), make_block("a", fold="10"), make_block("a", [0.0] * 300, fold="1")],
        )
    )

    found = [(series.key, dict(series.context)) for series in await metrics.list_series()]

    assert found == [
        ("Z", {}),
        ("a", {"fold": "1"}),
        ("a", {"fold": "10"}),
        ("a", {"fold": "2"}),
        ("a", {}),
        ("b", {}),
        ("ä", {}),
    ]


@pytest.mark.parametrize("page_size", [1, 2, 3, 7, 20, 100])
async def test_pages_join_to_the_whole_list(metrics: Metrics, page_size: int) -> None:
    def of(names: range) -> list[series_pb2.PointBlock]:
        return [make_block(f"k{name:02}") for name in names]

    await metrics.append(batches(of(range(0, 20, 2)), of(range(5, 15))))
    await metrics.merge(enough=1)
    await metrics.append([make_batch(3, of(range(0, 30, 3)))])

    found = [
        series.key for series in await metrics.list_series(ListSeriesRequest(page_size=page_size))
    ]

    assert found == sorted(
        {f"k{n:02}" for r in (range(0, 20, 2), range(5, 15), range(0, 30, 3)) for n in r}
    )


async def test_a_page_goes_on_after_a_merge_between(metrics: Metrics) -> None:
    await metrics.append(batches(*([make_block(f"k{index}")] for index in range(6))))

    first = await metrics.list_page(ListSeriesRequest(page_size=4))
    await metrics.merge()
    second = await metrics.list_page(
        ListSeriesRequest(page_size=4, page_token=first.next_page_token)
    )

    assert [series.key for page in (first, second) for series in page.series] == [
        f"k{index}" for index in range(6)
    ]


@pytest.mark.parametrize("merged", [False, True], ids=["unmerged", "merged"])
@pytest.mark.parametrize(
    ("series", "expected"),
    [
        pytest.param(SeriesFilter(keys=["a", "c"]), ["a", "a", "c"], id="keys"),
        pytest.param(SeriesFilter(key_prefix="b/"), ["b/x", "b/y"], id="prefix"),
        pytest.param(SeriesFilter(context={"fold": "1"}), ["a", "b/y"], id="context"),
        pytest.param(SeriesFilter(keys=["a"], context={"fold": "2"}), [], id="all must hold"),
        pytest.param(SeriesFilter(keys=["none"]), [], id="none"),
        pytest.param(SeriesFilter(text="B/"), ["b/x", "b/y"], id="text of a key"),
        pytest.param(SeriesFilter(text="FOLD=1"), ["a", "b/y", "c"], id="text of a context"),
        pytest.param(SeriesFilter(keys=["a"], text="run=X"), ["a"], id="key and text"),
        pytest.param(SeriesFilter(key_prefix="%"), [], id="no pattern"),
    ],
)
async def test_a_filter_chooses_series(
    metrics: Metrics, series: SeriesFilter, expected: list[str], *, merged: bool
) -> None:
    blocks = [
        make_block("a"),
        make_block("a", fold="1", run="x"),
        make_block("b/x"),
        make_block("b/y", fold="1"),
        make_block("c", fold="11"),
    ]
    await metrics.append(batches(blocks, blocks))
    if merged:
        await metrics.merge()

    found = await metrics.list_series(ListSeriesRequest(filter=series, page_size=1))

    assert [one.key for one in found] == expected


@pytest.mark.parametrize("merged", [False, True], ids=["unmerged", "merged"])
async def test_series_are_chosen_by_their_latest_points(metrics: Metrics, *, merged: bool) -> None:
    blocks = [make_block(key, times=[at]) for key, at in (("a", 1_000), ("b", 5_000), ("c", 1_000))]
    await metrics.append(batches(blocks))
    if merged:
        await metrics.merge()
    await metrics.append([make_batch(2, [make_block("c", times=[6_000])])])

    request = ListSeriesRequest(start_time=Timestamp(seconds=5), page_size=1)
    found = await metrics.list_series(request)

    assert [one.key for one in found] == ["b", "c"]


async def test_a_run_without_points_has_no_series(metrics: Metrics) -> None:
    assert await metrics.list_series() == []


async def test_a_foreign_page_token_is_refused(metrics: Metrics) -> None:
    await metrics.append(batches([make_block("a"), make_block("b")]))
    token = (await metrics.list_page(ListSeriesRequest(page_size=1))).next_page_token

    for wrong in (
        ListSeriesRequest(page_token=token, filter=SeriesFilter(keys=["a"])),
        ListSeriesRequest(page_token=token[:-1]),
        ListSeriesRequest(page_token="ä"),  # noqa: S106 - no password
        ListSeriesRequest(page_token="x" * 5000),
    ):
        with pytest.raises(InvalidPageTokenError):
            await metrics.list_page(wrong)


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        pytest.param(ListSeriesRequest(page_size=-1), "page_size", id="negative page"),
        pytest.param(ListSeriesRequest(page_size=1001), "page_size", id="large page"),
        pytest.param(ListSeriesRequest(run_id="x"), "run_id", id="no run id"),
        pytest.param(
            ListSeriesRequest(filter=SeriesFilter(keys=[""])), "filter.keys", id="empty key"
        ),
        pytest.param(
            ListSeriesRequest(filter=SeriesFilter(text="x" * 1025)), "filter.text", id="long text"
        ),
        pytest.param(
            ListSeriesRequest(start_time=Timestamp(seconds=1 << 62)), "start_time", id="no time"
        ),
        pytest.param(
            ListSeriesRequest(filter=SeriesFilter(key_prefix="\0")), "filter.key_prefix", id="NUL"
        ),
    ],
)
async def test_a_wrong_field_is_named(
    metrics: Metrics, request_: ListSeriesRequest, field: str
) -> None:
    with pytest.raises(InvalidFieldError) as caught:
        await metrics.list_page(request_)

    assert caught.value.violations[0].field == field


async def test_who_may_not_see_the_run_finds_none(metrics: Metrics) -> None:
    with pytest.raises(RunNotFoundError):
        await metrics.list_page(caller=BOB)


async def test_runs_do_not_see_each_other(metrics: Metrics) -> None:
    other = "1" * 16
    await metrics.directory.put(other)
    await metrics.append([make_batch(1, [make_block("a", [0.0] * 300), make_block("b")])])

    assert await metrics.list_series(ListSeriesRequest(run_id=other)) == []
    assert len(await metrics.list_series(ListSeriesRequest(run_id=RUN_ID))) == 2
