"""How much is taken in: points, lines, small batches, and the shape of training."""

from collections.abc import Callable
from typing import Final

from bench import batches
from bench.batches import Template
from bench.figures import Figure
from bench.load import Load, Produced, Target, produce
from bench.product import APPEND_LOGS, APPEND_METRICS, bare, running

SECONDS: Final = 5.0


def points() -> list[Figure]:
    """Two producers, batches of 1,000 points of one series, 32 unacknowledged."""

    def template(run_id: str, index: int) -> Template:
        return batches.points(run_id, f"p{index}", count=1000, seed=index)

    load = Load(SECONDS, window=32)
    ours, yard = _both("points", APPEND_METRICS, template, producers=2, load=load)
    return [_rate("points taken in, 1,000 a batch", ours.items_a_second, yard.items_a_second)]


def lines() -> list[Figure]:
    """Two producers, batches of 1,000 lines of 110 bytes, 32 unacknowledged."""

    def template(run_id: str, index: int) -> Template:
        return batches.lines(run_id, f"p{index}", count=1000, seed=index)

    load = Load(SECONDS, window=32)
    ours, yard = _both("lines", APPEND_LOGS, template, producers=2, load=load)
    return [_rate("log lines taken in, 1,000 a batch", ours.items_a_second, yard.items_a_second)]


def small_batches() -> list[Figure]:
    """64 writers of 100 points a batch, each waiting for its acknowledgement."""

    def template(run_id: str, index: int) -> Template:
        return batches.points(run_id, f"p{index}", count=100, seed=index)

    load = Load(SECONDS, window=1)
    ours, yard = _both("points", APPEND_METRICS, template, producers=64, load=load)
    return [
        Figure(
            "small batches acknowledged, 64 writers of 100 points",
            ours.batches_a_second,
            "batches/s",
            "≥ 0.5 of bare",
            0.5,
            yard.batches_a_second,
            higher_is_better=True,
        )
    ]


def training() -> list[Figure]:
    """64 producers, 50 keys, one point each, ten times a second: the processor time it takes."""
    with running() as product:
        templates = [
            batches.points(run_id, f"p{index}", count=1, keys=50, seed=index)
            for index, run_id in enumerate(product.runs(64))
        ]
        before = product.cpu_seconds()
        load = Load(seconds=60, window=32, rate=640)
        produced = produce(product.target(APPEND_METRICS), templates, load)
        cores = (product.cpu_seconds() - before) / produced.seconds
    return [
        Figure("training shape: processor of the server", cores, "cores", "< 0.5 cores", 0.5),
        Figure(
            "training shape: batches kept up with",
            produced.batches_a_second,
            "batches/s",
            "640 batches/s offered",
            630,
            higher_is_better=True,
        ),
    ]


def _rate(name: str, ours: float, yard: float) -> Figure:
    goal = "≥ 0.5 of bare, aim 0.75"
    return Figure(name, ours, "/s", goal, 0.5, yard, higher_is_better=True)


def _both(
    kind: str,
    ingest: str,
    template: Callable[[str, int], Template],
    *,
    producers: int,
    load: Load,
) -> tuple[Produced, Produced]:
    """Put the same load on Trackside and on the bare program; return what each achieved."""

    def measure(target: Target, run_ids: list[str]) -> Produced:
        templates = [template(run_id, index) for index, run_id in enumerate(run_ids)]
        return produce(target, templates, load)

    with bare(kind) as target:
        yard = measure(target, [f"bare{index:012d}" for index in range(producers)])
    with running() as product:
        ours = measure(product.target(ingest), product.runs(producers))
    return ours, yard
