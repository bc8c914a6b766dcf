import asyncio
import threading

import pytest

import trackside
from support.append_server import AppendServer, StoredRun
from trackside_protos.runs.v1.task_pb2 import Task, TaskState

pytestmark = pytest.mark.usefixtures("reporting")

SUCCEEDED = TaskState.TASK_STATE_SUCCEEDED


def tasks(stored: StoredRun) -> list[Task]:
    last = {r.task.task_id: r.task for r in stored.reports if r.HasField("task")}
    return list(last.values())


def test_each_call_of_a_decorated_function_is_a_task(append_server: AppendServer) -> None:
    with trackside.start_run(capture=False) as run:

        @run.task
        def scale(rows: int) -> int:
            run.info("inside")
            return rows * 2

        @run.task("fit one", process="fit")
        def fit() -> None:
            raise ValueError("no good")

        assert (scale(1), scale(rows=2)) == (2, 4)
        with pytest.raises(ValueError, match="no good"):
            fit()

    stored = append_server.only_run()
    assert [(t.name, t.process, t.state) for t in tasks(stored)] == [
        ("scale", "scale", SUCCEEDED),
        ("scale", "scale", SUCCEEDED),
        ("fit one", "fit", TaskState.TASK_STATE_FAILED),
    ]
    assert [entry.task_id for entry in stored.entries] == [t.task_id for t in tasks(stored)[:2]]
    assert scale.__name__ == "scale"


def test_a_function_that_is_never_called_is_no_task(append_server: AppendServer) -> None:
    with trackside.start_run(capture=False) as run:

        @run.task("never")
        def never() -> None: ...

        assert callable(never)

    assert tasks(append_server.only_run()) == []


def test_a_decorator_that_was_reported_at_once_is_its_first_call(
    append_server: AppendServer,
) -> None:
    with trackside.start_run(capture=False) as run:
        task = run.task("fit")
        append_server.wait_for(lambda: append_server.runs and tasks(append_server.only_run()))
        fit = task(lambda: None)
        fit()
        fit()

    assert [t.state for t in tasks(append_server.only_run())] == [SUCCEEDED, SUCCEEDED]


async def test_coroutine_functions_nest_each_in_its_own_context(
    append_server: AppendServer,
) -> None:
    @trackside.task
    async def inner(run: trackside.Run, name: str) -> None:
        await asyncio.sleep(0)
        run.info(name)

    @trackside.task(process="outer")
    async def outer(run: trackside.Run, name: str) -> str:
        await inner(run, name)
        return name

    with trackside.start_run(capture=False) as run:
        async with trackside.scope("round"):
            await outer(run, "c")
        assert await asyncio.gather(outer(run, "a"), outer(run, "b")) == ["a", "b"]

    stored = append_server.only_run()
    found = {task.task_id: task for task in tasks(stored)}
    inside = [found[entry.task_id] for entry in stored.entries]
    assert [task.name for task in inside] == ["inner"] * 3
    assert len({task.parent_task_id for task in inside}) == 3
    assert {found[task.parent_task_id].process for task in inside} == {"outer"}


def test_threads_begin_outside_of_every_scope(append_server: AppendServer) -> None:
    with trackside.start_run(capture=False) as run, run.scope("fold"):
        thread = threading.Thread(target=lambda: run.info("in a thread"))
        thread.start()
        thread.join()

    assert dict(append_server.only_run().entries[0].context) == {}


def test_a_decorated_function_opens_its_scope(append_server: AppendServer) -> None:
    @trackside.scope(unit="rows")
    def load() -> None:
        current = trackside.current_run()
        assert current is not None
        current.info("inside")

    with trackside.start_run(capture=False) as run:
        load()
        run.scope("again")(load)()

    stored = append_server.only_run()
    assert [dict(entry.context) for entry in stored.entries] == [
        {"load": "1"},
        {"again": "1", "load": "1"},
    ]


def test_work_that_was_done_before_is_a_cached_task(append_server: AppendServer) -> None:
    with trackside.start_run(capture=False) as run:
        run.task("scale", cached=True).end()
        with trackside.task("fit", cached=True):
            pass

    assert {t.state for t in tasks(append_server.only_run())} == {TaskState.TASK_STATE_CACHED}


def test_tasks_belong_to_the_run_that_is_open_around_them(append_server: AppendServer) -> None:
    with (
        trackside.start_run("first", capture=False) as first,
        trackside.start_run("second", capture=False) as second,
    ):
        with first.scope("s"), trackside.task("in the first"):
            pass
        with trackside.task("in the second"):
            pass

    names = {run_id: tasks(stored)[0].name for run_id, stored in append_server.runs.items()}
    assert names == {first.run_id: "in the first", second.run_id: "in the second"}


def test_without_a_run_decorated_functions_just_work(append_server: AppendServer) -> None:
    @trackside.task
    def double(number: int) -> int:
        return 2 * number

    with trackside.scope("fold", total=2) as fold:
        fold.advance()
        assert double(2) == 4

    assert append_server.runs == {}
