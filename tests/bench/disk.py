"""What points and lines take on disk, when the server has merged and ended."""

from collections.abc import Callable
from typing import Final

from bench import batches
from bench.batches import Template
from bench.figures import Figure
from bench.load import Load, produce
from bench.product import APPEND_LOGS, APPEND_METRICS, running

_STORES: Final = {APPEND_METRICS: "metrics.sqlite", APPEND_LOGS: "logs.sqlite"}


def disk() -> list[Figure]:
    """Noisy doubles, as training logs them and in large batches; lines of 110 bytes."""

    def singles(run_id: str) -> Template:
        return batches.points(run_id, "p", count=1, keys=50)

    def thousands(run_id: str) -> Template:
        return batches.points(run_id, "p", count=1000)

    def lines(run_id: str) -> Template:
        return batches.lines(run_id, "p", count=1000)

    return [
        _figure("a point on disk, from one at a time, merged", APPEND_METRICS, singles, 10_000, 10),
        _figure("a point on disk, from 1,000 at a time", APPEND_METRICS, thousands, 1000, 10),
        _figure("a log line of 110 B on disk", APPEND_LOGS, lines, 300, 25),
    ]


def _figure(
    name: str, ingest: str, template: Callable[[str], Template], count: int, bound: float
) -> Figure:
    with running() as product:
        (run_id,) = product.runs(1)
        load = Load(seconds=120, window=32, limit=count)
        produced = produce(product.target(ingest), [template(run_id)], load)
        product.settle(quiet=6)  # it merges with rests between
        product.stop()
        size = (product.home / "data" / _STORES[ingest]).stat().st_size
    return Figure(name, size / produced.items, "B", f"≤ {bound} B", bound)
