"""Supervisors killed: who stands by goes on, and with all killed the run itself does."""

import asyncio
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest

from support.local_runs import LocalRun, until
from trackside_plugin_interface import Ending, EndReason, EngineUnavailableError, Handle
from trackside_runner_local.processes import identify, is_alive, send

pytestmark = pytest.mark.processes

Runs = Callable[..., LocalRun]
Kill = Callable[[LocalRun], None]

LINES: Final = 60_000
WRITES = """
import os, sys
for number in range(int(sys.argv[1])):
    os.write(1 + number % 2, b"%d\\n" % number)
while not os.path.exists(sys.argv[2]): pass
print("end")
sys.exit(7)
"""
WAITS = "import time; time.sleep(600)"
CLEANS_UP = """
import os, signal, sys, time
def clean_up(number, frame):
    os.write(1, b"told\\n")
    while not os.path.exists(sys.argv[1]): time.sleep(0.01)
    os._exit(3)
signal.signal(signal.SIGTERM, clean_up)
os.write(1, b"up\\n")
while True: time.sleep(0.05)
"""
DAEMON = """
import os, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork():
        os._exit(0)
    code = "import os, sys, time; f = open('draft', 'w'); f.write(str(os.getpid())); f.close();" \\
        "os.rename('draft', sys.argv[1]); time.sleep(600)"
    os.execve(sys.executable, [sys.executable, "-c", code, sys.argv[1]], {})
time.sleep(600)
"""
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


def kill_the_one_that_holds(run: LocalRun) -> None:
    run.kill_supervisor()


def kill_the_one_that_stands_by(run: LocalRun) -> None:
    run.kill_standby()


def kill_all(run: LocalRun) -> None:
    run.kill_supervisors()


each_way = pytest.mark.parametrize(
    "kill", [kill_the_one_that_holds, kill_the_one_that_stands_by, kill_all]
)


async def follow_as_an_agent_does(run: LocalRun, handle: Handle) -> Ending:
    while True:
        with suppress(EngineUnavailableError):  # a supervisor was killed before it could answer
            return await run.follow(handle)


def assert_whole(run: LocalRun) -> None:
    assert run.reporter.output() == b"".join(b"%d\n" % n for n in range(0, LINES, 2)) + b"end\n"
    assert run.reporter.output("stderr") == b"".join(b"%d\n" % n for n in range(1, LINES, 2))


@each_way
async def test_nothing_is_lost_of_a_run_that_writes_at_full_speed(
    runs: Runs, tmp_path: Path, kill: Kill
) -> None:
    run = runs(WRITES, LINES, tmp_path / "go")
    handle = await run.launch()
    following = asyncio.ensure_future(run.follow(handle))
    await until(lambda: len(run.reporter.output()) > 10_000)
    kill(run)
    await until(run.supervisors)  # one of whom sees the end
    await until(lambda: len(run.reporter.output("stderr")) > 160_000)
    (tmp_path / "go").touch()

    ending = await following

    assert ending.exit_code == 7
    assert_whole(run)


async def test_nothing_is_lost_though_every_supervisor_is_killed_ten_times(
    runs: Runs, tmp_path: Path
) -> None:
    run = runs(WRITES, LINES, tmp_path / "go")
    handle = await run.launch()
    following = asyncio.ensure_future(follow_as_an_agent_does(run, handle))
    for kills in range(10):
        await until(lambda: len(run.reporter.output()) > 15_000 * kills)  # noqa: B023
        await until(run.supervisors)
        run.kill_supervisors()
    await until(run.supervisors)
    (tmp_path / "go").touch()

    await following

    assert_whole(run)


async def test_output_waits_for_whoever_follows_again(runs: Runs, tmp_path: Path) -> None:
    run = runs(WRITES, LINES, tmp_path / "go")
    handle = await run.launch()
    run.kill_supervisors()
    await until(lambda: not run.supervisors())
    assert is_alive(run.process)
    following = asyncio.ensure_future(run.follow(handle))
    await until(run.supervisors)
    (tmp_path / "go").touch()

    await following

    assert_whole(run)


@each_way
async def test_time_limit_holds(runs: Runs, kill: Kill) -> None:
    for seconds in (4.0, 16.0, 64.0):  # until the program has time to begin
        run = runs(HIDES)
        run.spec = replace(run.spec, time_limit_seconds=seconds)
        handle = await run.launch()
        await until(lambda: len(run.processes()) == 4 or not run.supervisors())  # noqa: B023
        if run.supervisors():
            break
    kill(run)

    ending = await run.follow(handle)

    assert ending.reason == EndReason.TIME_LIMIT
    assert run.processes() == set()


@each_way
async def test_memory_limit_holds(runs: Runs, tmp_path: Path, kill: Kill) -> None:
    run = runs(
        "import os, sys, time\nwhile not os.path.exists(sys.argv[1]): time.sleep(0.01)\n"
        "much = bytearray(b'x' * (200 << 20)); time.sleep(600)",
        tmp_path / "go",
    )
    run.spec = replace(run.spec, memory_limit_bytes=128 << 20)
    handle = await run.launch()
    kill(run)
    (tmp_path / "go").touch()

    assert (await run.follow(handle)).reason == EndReason.OUT_OF_MEMORY


@each_way
async def test_what_a_command_leaves_behind_ends_with_it(runs: Runs, kill: Kill) -> None:
    run = runs(HIDES)
    handle = await run.launch()
    await until(lambda: len(run.processes()) == 4)
    kill(run)
    following = asyncio.ensure_future(run.follow(handle))
    await until(lambda: run.supervisors() and run.record("state.json")["supervisor"])
    send(run.process, signal.SIGTERM)

    ending = await following

    assert ending.exit_signal == signal.SIGTERM
    assert run.processes() == set()


@each_way
async def test_kill_finds_processes_in_sessions_of_their_own(runs: Runs, kill: Kill) -> None:
    run = runs(HIDES)
    handle = await run.launch()
    await until(lambda: len(run.processes()) == 4)
    kill(run)

    await run.runner.kill(handle)

    assert run.processes() == set()


@each_way
async def test_kill_finds_a_daemon_that_put_its_environment_away(
    runs: Runs, tmp_path: Path, kill: Kill
) -> None:
    run = runs(DAEMON, tmp_path / "daemon")
    handle = await run.launch()
    await until((tmp_path / "daemon").exists)
    daemon = identify(int((tmp_path / "daemon").read_text()))
    await until(lambda: [daemon.pid, daemon.start_ticks] in run.record("state.json")["processes"])
    kill(run)

    await run.runner.kill(handle)

    assert not is_alive(daemon)
    assert run.processes() == set()


@each_way
async def test_stop_goes_on_and_tells_the_run_once(runs: Runs, tmp_path: Path, kill: Kill) -> None:
    run = runs(CLEANS_UP, tmp_path / "go")
    handle = await run.launch()
    following = asyncio.ensure_future(run.follow(handle))
    await until(lambda: run.reporter.output() == b"up\n")
    stopping = asyncio.ensure_future(run.runner.stop(handle, 600.0))
    await until((run.folder / "stop.json").exists)
    kill(run)
    await until(run.supervisors)
    (tmp_path / "go").touch()

    assert await stopping
    ending = await following
    assert run.reporter.output() == b"up\ntold\n"
    assert ending.on_request is True
    assert ending.exit_code == 3


async def test_end_that_nobody_saw_is_told_as_one(runs: Runs) -> None:
    run = runs(WAITS)
    handle = await run.launch()
    run.kill_supervisors()
    await until(lambda: not run.supervisors())
    send(run.process, signal.SIGKILL)
    await until(lambda: not is_alive(run.process))

    ending = await run.follow(handle)

    seen_by_the_system = ending.exit_signal == signal.SIGKILL
    assert seen_by_the_system or "supervisors were killed" in ending.message


async def test_command_goes_on_where_it_would_have_died_of_sigpipe(
    runs: Runs, tmp_path: Path
) -> None:
    run = runs(
        "import os, signal, sys\nsignal.signal(signal.SIGPIPE, signal.SIG_DFL)\n"
        "os.write(1, b'up')\nwhile not os.path.exists(sys.argv[1]): pass\n"
        "os.write(1, b'on' * 500_000)\nsys.exit(5)",  # more than there is room for
        tmp_path / "go",
    )
    handle = await run.launch()
    await until(lambda: (run.folder / "output").stat().st_size)
    run.kill_supervisors()
    await until(lambda: not run.supervisors())
    (tmp_path / "go").touch()

    assert (await run.follow(handle)).exit_code == 5
    assert run.reporter.output() == b"up" + b"on" * 500_000
