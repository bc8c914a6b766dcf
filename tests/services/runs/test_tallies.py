"""Counts kept as tasks change, compared with counts made anew from all tasks."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support.run_views import RunView, plain, plain_task
from support.runs import (
    COMPLETED,
    RUNNING,
    Report,
    Run,
    Server,
    Starter,
    at,
    state,
    task,
)
from trackside_protos.runs.v1 import runs_service_pb2, task_pb2
from trackside_runs.errors import IllegalTransitionError
from trackside_runs.states import FINAL_TASK_STATES, OPEN_TASK_STATES

TaskAttempt = task_pb2.TaskAttempt
PENDING = task_pb2.TaskState.TASK_STATE_PENDING
TRIED = task_pb2.TaskState.TASK_STATE_FAILED
TRYING = task_pb2.TaskState.TASK_STATE_RUNNING
NAMES = ("PENDING", "SUBMITTED", "RUNNING", "SUCCEEDED", "FAILED", "ABORTED", "CACHED")


def counted(tasks: list[task_pb2.Task]) -> dict[str, int]:
    """Return counts by state, retried ones, and the milliseconds of those that have ended."""
    states = Counter(task_pb2.TaskState.Name(t.state)[11:].lower() for t in tasks)
    ended = [t for t in tasks if t.state in FINAL_TASK_STATES]
    return {
        **{name.lower(): states[name.lower()] for name in NAMES},
        "retried": sum(len(t.attempts) > 1 for t in tasks),
        "ms": sum(t.elapsed_duration.ToMilliseconds() for t in ended),
    }


def told(tally: Any, milliseconds: int) -> dict[str, int]:
    names = [*(name.lower() for name in NAMES), "retried"]
    return {name: getattr(tally, name) for name in names} | {"ms": milliseconds}


async def check(server: Server, run: Run) -> None:
    """Compare what is counted with the tasks, and both with what the changes tell."""
    tasks = await server.tasks(run.run_id)
    run = await server.get(run.run_id)
    assert told(run.task_counts, run.task_duration.ToMilliseconds()) == counted(tasks)
    processes = {p.process: p for p in await server.processes(run.run_id)}
    assert set(processes) == {t.process for t in tasks}
    for name, process in processes.items():
        members = [t for t in tasks if t.process == name]
        assert told(process, process.task_duration.ToMilliseconds()) == counted(members)
        assert process.total == len(members)
    view = RunView()
    for change in await server.changes(run.run_id):
        view.apply(change)
    assert view.run == plain(run)
    assert view.processes == processes
    assert view.open_tasks == {
        t.task_id: plain_task(t) for t in tasks if t.state in OPEN_TASK_STATES
    }


def reported(number: int, name: str, attempt: int, process: str, seconds: int) -> Report:
    attempts = [TaskAttempt(number=attempt, state=PENDING)] if attempt else []
    return at(seconds, task(f"t{number}", name, process=process, attempts=attempts))


reports = st.builds(
    reported,
    st.integers(0, 5),
    st.sampled_from([name for name in NAMES if name != "ABORTED"]),
    st.sampled_from([0, 0, 0, 1, 2, 3]),
    st.sampled_from(["", "", "", "qc", "a:b:align"]),
    st.integers(0, 100),
)


@pytest.fixture
def runner(tmp_path: Path) -> Iterator[tuple[asyncio.Runner, Server]]:
    """Return a server, and the loop that it lives in: for many examples in turn."""
    stack = AsyncExitStack()
    with asyncio.Runner() as runner:
        starter = Starter(tmp_path, stack)
        yield runner, runner.run(starter.start(f"sqlite:///{tmp_path}/runs.sqlite"))
        runner.run(stack.aclose())


@pytest.mark.exhaustive
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batches=st.lists(st.lists(reports, min_size=1, max_size=8), max_size=8), ends=st.booleans())
def test_counts_equal_a_recount(
    runner: tuple[asyncio.Runner, Server],
    batches: list[list[Report]],
    ends: bool,  # noqa: FBT001 - drawn
) -> None:
    loop, server = runner

    async def scenario() -> None:
        run = await server.create()
        for batch in batches:
            with contextlib.suppress(IllegalTransitionError):
                await server.report(run.run_id, *batch)
        if ends:
            await server.report(run.run_id, at(200, state(COMPLETED)))
        await check(server, run)

    loop.run(scenario())


async def test_a_renamed_process_leaves_the_old_one(server: Server) -> None:
    run = await server.create()
    await server.report(run.run_id, task("a", "RUNNING", process="x"))
    await server.report(run.run_id, task("b", "RUNNING", process="x"))

    await server.report(run.run_id, task("a", "SUCCEEDED", process="y"))
    await server.report(run.run_id, task("b", "SUCCEEDED", process="y"))

    [process] = await server.processes(run.run_id)
    assert (process.process, process.total, process.succeeded) == ("y", 2, 2)
    await check(server, run)


async def test_peak_concurrency_is_the_most_seen_at_once(server: Server) -> None:
    run = await server.create()
    for name in ("RUNNING", "SUCCEEDED"):
        await server.report(run.run_id, *(task(f"{i}", name) for i in range(3)))
    await server.report(run.run_id, task("x", "RUNNING"))

    counts = (await server.get(run.run_id)).task_counts
    assert (counts.running, counts.peak_concurrency) == (1, 3)


async def test_more_than_one_attempt_counts_as_retried(server: Server) -> None:
    run = await server.create()
    await server.report(run.run_id, at(0, task("t", "RUNNING")))
    await server.report(
        run.run_id,
        at(10, task("t", "FAILED", attempts=[TaskAttempt(number=1, state=TRIED, exit_code=1)])),
    )

    await server.report(
        run.run_id, at(12, task("t", "RUNNING", attempts=[TaskAttempt(number=2, state=TRYING)]))
    )
    await server.report(run.run_id, at(15, task("t", "SUCCEEDED")))

    [told_task] = await server.tasks(run.run_id)
    counts = (await server.get(run.run_id)).task_counts
    assert [(a.number, a.state, a.exit_code) for a in told_task.attempts] == [(1, 5, 1), (2, 4, 0)]
    assert (counts.succeeded, counts.failed, counts.retried) == (1, 0, 1)
    assert told_task.elapsed_duration.seconds == 3


async def test_a_cached_task_says_so(server: Server) -> None:
    run = await server.create()

    await server.report(run.run_id, task("t", "CACHED", name="load", process="a:b:LOAD"))

    [told_task] = await server.tasks(run.run_id)
    [process] = await server.processes(run.run_id)
    assert (told_task.cached, told_task.short_process) == (True, "b:LOAD")
    assert (process.cached, process.short_process) == (1, "b:LOAD")


async def test_what_is_not_repeated_of_a_task_stays(server: Server) -> None:
    run = await server.create()
    await server.report(run.run_id, at(1, task("t", "SUBMITTED", name="fit (a)", script="echo hi")))
    await server.report(run.run_id, at(2, task("t", "RUNNING")))

    await server.report(run.run_id, at(3, task("t", "SUCCEEDED")))

    request = runs_service_pb2.GetTaskRequest(run_id=run.run_id, task_id="t")
    told_task = (await server.call("GetTask", request)).task
    assert (told_task.name, told_task.process, told_task.script) == (
        "fit (a)",
        "fit (a)",
        "echo hi",
    )
    assert told_task.create_time.seconds == 1_700_000_001
    assert told_task.start_time.seconds == 1_700_000_002
    assert told_task.elapsed_duration.seconds == 1


async def test_a_late_report_on_a_task_changes_no_count(server: Server) -> None:
    run = await server.create()
    await server.report(run.run_id, task("t", "SUCCEEDED"))

    await server.report(run.run_id, task("t", "RUNNING"))

    assert (await server.changes(run.run_id))[-1].ignored.task.task_id == "t"
    await check(server, run)


@pytest.mark.parametrize("field", ["succeeded", "retried", "total", "process", "create_time"])
async def test_processes_are_sorted_by_any_count(server: Server, field: str) -> None:
    run = await server.create()
    await server.report(run.run_id, state(RUNNING))
    for index in range(12):
        name = "SUCCEEDED" if index % 3 else "FAILED"
        await server.report(run.run_id, at(index, task(f"{index}", name, process=f"p{index % 5}")))

    def keys(processes: list[task_pb2.Process]) -> list[Any]:
        return [
            p.create_time.seconds if field == "create_time" else getattr(p, field)
            for p in processes
        ]

    up = keys(await server.processes(run.run_id, field))
    down = keys(await server.processes(run.run_id, f"{field} desc"))

    assert up == sorted(up)
    assert down == sorted(down, reverse=True)
