"""How a run ends whose supervisor, or whose machine, did not live to see it."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from support.local_runs import LocalRun, until
from trackside_plugin_interface import EndReason
from trackside_runner_local.processes import Process, identify, is_alive, send

Runs = Callable[..., LocalRun]

WAITS = "import time; time.sleep(600)"
HIDES = """
import os, time
for _ in range(3):
    if os.fork() == 0:
        os.setsid()
        if os.fork():
            os._exit(0)
        time.sleep(600)
time.sleep(600)
"""


async def test_run_without_supervisor_goes_on_and_ends_without_a_trace(runs: Runs) -> None:
    run = runs(WAITS)
    handle = await run.launch()
    run.kill_supervisor()
    following = asyncio.ensure_future(run.follow(handle))
    await until(lambda: not is_alive(run.supervisor))

    assert is_alive(run.process)
    send(run.process, signal.SIGTERM)
    ending = await following

    assert (ending.exit_code, ending.exit_signal) == (None, None)
    assert "supervisor was killed" in ending.message


async def test_time_limit_holds_without_the_supervisor(runs: Runs) -> None:
    run = runs(HIDES)
    run.spec = replace(run.spec, time_limit_seconds=1.0)
    handle = await run.launch()
    await until(lambda: len(run.processes()) == 4)
    run.kill_supervisor()

    ending = await run.follow(handle)

    assert ending.reason == EndReason.TIME_LIMIT
    assert run.processes() == set()


async def test_what_a_command_leaves_behind_ends_without_the_supervisor_too(runs: Runs) -> None:
    run = runs(HIDES)
    handle = await run.launch()
    await until(lambda: len(run.processes()) == 4)
    run.kill_supervisor()
    send(run.process, signal.SIGTERM)

    ending = await run.follow(handle)

    assert "supervisor was killed" in ending.message
    assert run.processes() == set()


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
    run.kill_supervisor()
    run.clean_up()
    await until(lambda: not run.processes())
    run.change_record("start.json", process=[innocent.pid, 1], supervisor=[innocent.pid, 1])

    ending = await run.follow(handle)
    await run.runner.kill(handle)

    assert ending.exit_code is None
    assert innocent.poll() is None


async def test_kill_without_supervisor_finds_processes_in_sessions_of_their_own(
    runs: Runs,
) -> None:
    run = runs(HIDES)
    handle = await run.launch()
    await until(lambda: len(run.processes()) == 4)
    run.kill_supervisor()

    await run.runner.kill(handle)

    assert run.processes() == set()


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
