"""How fast what is stored is read: points, lists of many runs, a run with many tasks."""

import time
from collections.abc import Callable, Iterator
from typing import Final

import grpc
import numpy as np

from bench import batches
from bench.figures import Figure
from bench.load import Load, produce
from bench.product import APPEND_METRICS, Product, running
from trackside_protos.metrics.v1 import metrics_service_pb2, metrics_service_pb2_grpc
from trackside_protos.producers.v1 import batch_pb2
from trackside_protos.runs.v1 import (
    report_pb2,
    run_pb2,
    runs_service_pb2,
    runs_service_pb2_grpc,
    task_pb2,
)

_SWEEPS: Final = 100
_CHILDREN: Final = 999
_SELECTIVE: Final = (
    "",
    "state = RUNNING",
    "tag:group-7",
    "parameter.alpha = 17",
    'name = "alpha=5"',
)
_FREE_TEXT: Final = ('"alpha=77"', "nowhere")


def million_points() -> list[Figure]:
    """A million points of one series: all of them, and in 1,000 buckets."""
    with running() as product, product.channel() as channel:
        (run_id,) = product.runs(1)
        load = Load(seconds=60, window=32, limit=1000)
        produce(product.target(APPEND_METRICS), [batches.points(run_id, "p", count=1000)], load)
        product.settle()
        stub = metrics_service_pb2_grpc.MetricsServiceStub(channel)

        def query(buckets: int) -> None:
            request = metrics_service_pb2.QueryPointsRequest(run_id=run_id, max_buckets=buckets)
            response = stub.QueryPoints(request, metadata=product.metadata)
            assert response.series[0].input_count == 1_000_000

        every, bucketed = _times(lambda: query(0), 9), _times(lambda: query(1000), 9)
    return [
        _milliseconds("a million points read", float(np.median(every)), 150),
        _milliseconds("1,000 buckets of a million points", float(np.median(bucketed)), 30),
    ]


def many_runs() -> list[Figure]:
    """100,000 runs: the newest, selective filters, free text."""
    with running() as product, product.channel() as channel:
        stub = create_many_runs(product, channel)
        product.settle()

        def slowest(filters: tuple[str, ...]) -> float:
            """Return the p95 of the slowest filter."""
            return max(float(np.percentile(_times(listed(text), 40), 95)) for text in filters)

        def listed(text: str) -> Callable[[], object]:
            request = runs_service_pb2.ListRunsRequest(filter=text, page_size=50)
            return lambda: stub.ListRuns(request, metadata=product.metadata)

        selective, free_text = slowest(_SELECTIVE), slowest(_FREE_TEXT)
    return [
        _milliseconds("100,000 runs: list and selective filters, p95", selective, 50),
        _milliseconds("100,000 runs: free text, p95", free_text, 150),
    ]


def create_many_runs(
    product: Product, channel: grpc.Channel
) -> runs_service_pb2_grpc.RunsServiceStub:
    """Create 100,000 runs, 100 parents with their children, and return what asks for them."""
    stub = runs_service_pb2_grpc.RunsServiceStub(channel)
    for index in range(_SWEEPS):
        stub.CreateRun(_sweep(index), metadata=product.metadata)
    return stub


def many_tasks() -> list[Figure]:
    """Opening a run with 100,000 tasks, beside one with 100."""
    with running() as product, product.channel() as channel:
        small, large = product.runs(2)
        stub = runs_service_pb2_grpc.RunsServiceStub(channel)
        for run_id, count in ((small, 100), (large, 100_000)):
            for _ in stub.ReportRun(_tasks(run_id, count), metadata=product.metadata):
                pass
        product.settle()
        few = float(np.median(_times(lambda: _open(stub, product, small), 15)))
        many = float(np.median(_times(lambda: _open(stub, product, large), 15)))
    goal = "≤ 1.5 of one with 100"
    return [Figure("opening a run with 100,000 tasks", many, "ms", goal, 1.5, few)]


def _open(stub: runs_service_pb2_grpc.RunsServiceStub, product: Product, run_id: str) -> None:
    """Do what a page does: the present state, the process table, a page of tasks."""
    call = stub.WatchRun(runs_service_pb2.WatchRunRequest(run_id=run_id), metadata=product.metadata)
    for response in call:
        if response.caught_up:
            break
    call.cancel()
    stub.ListProcesses(
        runs_service_pb2.ListProcessesRequest(run_id=run_id), metadata=product.metadata
    )
    stub.ListTasks(
        runs_service_pb2.ListTasksRequest(run_id=run_id, page_size=100), metadata=product.metadata
    )


def _tasks(run_id: str, count: int) -> Iterator[runs_service_pb2.ReportRunRequest]:
    numbers = range(count)
    for sequence, start in enumerate(range(0, count, 1000), start=1):
        yield runs_service_pb2.ReportRunRequest(
            batch=batch_pb2.Batch(run_id=run_id, producer_id="bench", epoch=1, sequence=sequence),
            reports=[_task(number) for number in numbers[start : start + 1000]],
        )


def _task(number: int) -> report_pb2.RunReport:
    return report_pb2.RunReport(
        task=task_pb2.Task(
            task_id=f"t{number}",
            name=f"ALIGN (sample {number})",
            process=f"FLOW:STEP:P{number % 20}",
            state=task_pb2.TASK_STATE_SUCCEEDED,
        )
    )


def _sweep(index: int) -> runs_service_pb2.CreateRunRequest:
    run = run_pb2.Run(
        name=f"sweep {index}",
        is_parent=True,
        runner="nowhere",
        tags=[f"group-{index}"],
        launch=run_pb2.Launch(command=["true"]),
    )
    axis = run.sweep.axes.add(key="alpha")
    for value in range(_CHILDREN):
        axis.values.add(number_value=value)
    return runs_service_pb2.CreateRunRequest(run=run)


def _times(action: Callable[[], object], count: int) -> list[float]:
    """Return the milliseconds of so many calls after a first one."""
    action()
    taken: list[float] = []
    for _ in range(count):
        begin = time.perf_counter()
        action()
        taken.append((time.perf_counter() - begin) * 1000)
    return taken


def _milliseconds(name: str, value: float, bound: int) -> Figure:
    return Figure(name, value, "ms", f"≤ {bound} ms", bound)
