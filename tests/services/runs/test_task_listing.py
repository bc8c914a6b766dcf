import time
from collections.abc import Callable
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from support.runs import Cluster, Run, Server, at, task
from trackside_protos.runs.v1 import runs_service_pb2
from trackside_protos.runs.v1.task_pb2 import Task, TaskAttempt, TaskState
from trackside_serving.errors import InvalidFieldError, InvalidFilterError, InvalidPageTokenError

TASKS = 24
PROCESSES = ("ALIGN", "sort", "ümlaut")
STATES = ("PENDING", "RUNNING", "SUCCEEDED", "FAILED")


async def zoo(server: Server) -> Run:
    """Make a run whose tasks differ in everything that lists are ordered and filtered by."""
    run = await server.create()
    for index in range(TASKS):
        name = STATES[index % 4]
        attempts = [
            TaskAttempt(number=number, state=TaskState.Value(f"TASK_STATE_{name}"))
            for number in range(1, 2 + index % 3)
        ]
        if name != "PENDING":
            attempts[-1].host = f"box{index % 2}"
        if name == "FAILED":
            attempts[-1].exit_code = index % 5
        report = task(
            f"t{index:02}",
            name,
            name=f"{'zyx'[index % 3]} {index % 5}",
            process=PROCESSES[index % 3],
            attempts=attempts,
            context={"sample": f"S{index % 4}"} if index % 2 else {},
            scope_path=f"fold={index % 3}",
        )
        if name != "PENDING":
            report.task.start_time.CopyFrom(Timestamp(seconds=2_000_000 - 7 * (index % 6)))
        if name in {"SUCCEEDED", "FAILED"}:
            end = report.task.start_time.seconds + index % 7
            report.task.end_time.CopyFrom(Timestamp(seconds=end))
        await server.report(run.run_id, at(index, report))
    return run


async def found(server: Server, run: Run, size: int = 5, **fields: Any) -> list[Task]:
    """Return what is found in pages."""
    request = runs_service_pb2.ListTasksRequest(run_id=run.run_id, page_size=size, **fields)
    tasks: list[Task] = []
    while True:
        response = await server.call("ListTasks", request)
        assert len(response.tasks) <= size
        tasks += response.tasks
        request.page_token = response.next_page_token
        if not request.page_token:
            return tasks


def ids(tasks: list[Task]) -> list[str]:
    return [task.task_id for task in tasks]


def took(task: Task) -> int:
    return task.end_time.seconds - task.start_time.seconds if task.HasField("end_time") else -1


ORDERS: dict[str, Callable[[Task], Any]] = {
    "create_time": lambda _task: 0,
    "start_time": lambda task: task.start_time.seconds,
    "end_time": lambda task: task.end_time.seconds,
    "duration": took,
    "name": lambda task: task.name,
    "process": lambda task: task.process,
    "state": lambda task: task.state,
    "attempts": lambda task: len(task.attempts),
}


@pytest.mark.parametrize("field", ORDERS)
@pytest.mark.parametrize("direction", ["", " desc"])
async def test_every_order_holds_every_task_once(
    server: Server, field: str, direction: str
) -> None:
    run = await zoo(server)
    key = ORDERS[field]
    everything = await server.tasks(run.run_id)
    numbers = {task.task_id: number for number, task in enumerate(everything)}

    listed = await found(server, run, order_by=field + direction)

    wanted = sorted(everything, key=lambda task: (key(task), numbers[task.task_id]))
    assert ids(listed) == ids(wanted[::-1] if direction else wanted)


async def test_filters_orders_and_pages_work_on_every_store(cluster: Cluster) -> None:
    run = await zoo(cluster.one)

    listed = await found(
        cluster.other,
        run,
        size=2,
        filter="context.sample:* AND NOT state = FAILED",
        order_by="name desc",
    )

    expected = [i for i in range(TASKS) if i % 2 and i % 4 != 3]
    names = {i: ("zyx"[i % 3], str(i % 5), i) for i in expected}
    assert ids(listed) == [
        f"t{i:02}" for i in sorted(expected, key=lambda i: names[i], reverse=True)
    ]


CHOSEN: list[tuple[str, Callable[[int], bool]]] = [
    ("state = FAILED AND attempts > 1", lambda i: i % 4 == 3 and i % 3 > 0),
    ("exit_code > 2", lambda i: i % 4 == 3 and i % 5 > 2),
    ("host = box1", lambda i: i % 4 != 0 and i % 2 == 1),
    ("retried = false", lambda i: i % 3 == 0),
    ("context.sample = S3", lambda i: i % 4 == 3),
    ("scope = 'fold=1'", lambda i: i % 3 == 1),
    ("duration >= 3s", lambda i: i % 4 > 1 and i % 7 >= 3),
    ("NOT start_time:*", lambda i: i % 4 == 0),
    ("ÜMLAUT", lambda i: i % 3 == 2),
]


@pytest.mark.parametrize(("filter_", "wants"), CHOSEN)
async def test_a_filter_chooses_tasks(
    server: Server, filter_: str, wants: Callable[[int], bool]
) -> None:
    run = await zoo(server)

    listed = await found(server, run, filter=filter_)

    assert ids(listed) == [f"t{i:02}" for i in range(TASKS) if wants(i)]


async def test_filter_states_and_process_must_all_hold(server: Server) -> None:
    run = await zoo(server)

    listed = await found(server, run, filter="attempts > 1", states=[3, 5], process="sort")

    wanted = [i for i in range(TASKS) if i % 3 == 1 and i % 4 in {1, 3}]
    assert ids(listed) == [f"t{i:02}" for i in wanted]


async def test_a_filter_sees_a_task_as_it_is_now(cluster: Cluster) -> None:
    run = await cluster.one.create()
    await cluster.one.report(
        run.run_id, task("a", "RUNNING", process="old", context={"k": "1", "gone": "x"})
    )

    await cluster.one.report(
        run.run_id, task("a", "SUCCEEDED", process="new", context={"k": "2", "more": "y"})
    )

    for filter_ in ("process = new", "state = SUCCEEDED", "context.k = 2", "context.more:*", "y"):
        assert ids(await found(cluster.other, run, filter=filter_)) == ["a"]
    for filter_ in ("process = old", "context.k = 1", "context.gone:*"):
        assert await found(cluster.other, run, filter=filter_) == []


async def test_an_impossible_task_filter_is_told_with_its_place(server: Server) -> None:
    run = await server.create()

    with pytest.raises(InvalidFilterError) as refused:
        await found(server, run, filter="state = RUNNING AND owner = ann")

    assert refused.value.metadata["position"] == "20"


async def test_an_impossible_order_of_tasks_is_told(server: Server) -> None:
    run = await server.create()

    with pytest.raises(InvalidFieldError) as refused:
        await found(server, run, order_by="host")

    assert refused.value.violations[0].field == "order_by"


@pytest.mark.parametrize(("name", "value"), [("filter", "t1"), ("order_by", "name")])
async def test_a_page_token_of_tasks_belongs_to_its_filter_and_order(
    server: Server, name: str, value: str
) -> None:
    run = await zoo(server)
    request = runs_service_pb2.ListTasksRequest(run_id=run.run_id, page_size=1)
    request.page_token = (await server.call("ListTasks", request)).next_page_token

    setattr(request, name, value)

    with pytest.raises(InvalidPageTokenError):
        await server.call("ListTasks", request)


@pytest.mark.slow
async def test_a_hundred_thousand_tasks_are_searched_in_a_moment(server: Server) -> None:
    run = await server.create()
    for start in range(0, 100_000, 1000):
        reports = [
            task(f"t{i}", "SUCCEEDED", name=f"fit {i}", process=f"p{i % 50}", context={"n": str(i)})
            for i in range(start, start + 1000)
        ]
        await server.report(run.run_id, *reports)

    for filter_, order in (
        ("nowhere", ""),
        ("context.n = 99999 OR exit_code > 0", ""),
        ("name = 'fit 99*'", "duration desc"),
        ("", "start_time desc"),
    ):
        request = runs_service_pb2.ListTasksRequest(
            run_id=run.run_id, page_size=100, filter=filter_, order_by=order
        )
        started = time.process_time()
        await server.call("ListTasks", request)
        assert time.process_time() - started < 5  # some tenths, however slow the machine
