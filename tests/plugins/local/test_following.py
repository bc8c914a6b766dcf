"""How a run is told to its end, though its folder, its machine or its processes are gone."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from support.local_runs import LocalRun, until
from trackside_runner_local.processes import Process, identify, is_alive, send

Runs = Callable[..., LocalRun]

WAITS = "import time; time.sleep(600)"


async def test_run_of_another_boot_has_ended_without_a_trace(runs: Runs) -> None:
    run = runs(WAITS)
    handle = await run.launch()
    process, supervisor = run.process, run.supervisor
    run.change_record("start.json", boot_id="another")

    ending = await run.follow(handle)
    await run.runner.kill(handle)

    assert "machine was started anew" in ending.message
    assert is_alive(process)
    assert is_alive(supervisor)


@pytest.fixture
def innocent() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", WAITS]) as process:  # noqa: S603 - our own
        yield process
        process.kill()


async def test_number_given_to_another_process_is_not_taken_for_the_run(
    runs: Runs, innocent: subprocess.Popen[bytes]
) -> None:
    run = runs(WAITS)
    handle = await run.launch()
    run.clean_up()
    await until(lambda: not run.supervisors() and not run.processes())
    gone = [innocent.pid, 1]
    run.change_record("start.json", process=gone, supervisor=gone, standby=gone)
    run.change_record("state.json", supervisor=gone)

    ending = await run.follow(handle)
    await run.runner.kill(handle)

    assert ending.exit_code is None
    assert innocent.poll() is None


async def test_kill_ends_a_run_whose_supervisor_was_stopped(runs: Runs) -> None:
    run = runs(WAITS)
    handle = await run.launch()
    send(run.supervisor, signal.SIGSTOP)

    await run.runner.kill(handle)
    ending = await run.follow(handle)

    assert ending.exit_signal == signal.SIGKILL


async def test_kill_beats_a_program_that_forks_without_end(runs: Runs) -> None:
    run = runs(
        "import os, time\nfor _ in range(60):\n    if os.fork():\n        time.sleep(600)\n"
        "while True: time.sleep(0.01)"
    )
    handle = await run.launch()
    await until(lambda: len(run.processes()) > 20)

    await run.runner.kill(handle)

    assert run.processes() == set()


async def test_handle_survives_the_disk(runs: Runs) -> None:
    run = runs("import sys; sys.exit(5)")
    handle = json.loads(json.dumps(await run.launch()))

    assert (await run.follow(handle)).exit_code == 5


async def test_lost_folder_is_an_end_without_a_trace(runs: Runs) -> None:
    run = runs("print()")
    handle = await run.launch()
    await run.follow(handle)
    (run.folder / "start.json").unlink()
    again = type(run.reporter)()

    await run.runner.adopt(handle, again)
    await run.runner.kill(handle)

    assert again.endings[0].exit_code is None


def test_process_with_another_start_time_is_not_alive() -> None:
    own = identify(os.getpid())

    assert is_alive(own)
    assert not is_alive(Process(own.pid, own.start_ticks + 1))
