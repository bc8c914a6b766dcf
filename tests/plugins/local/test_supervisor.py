"""What a supervisor promises for the run that it holds."""

import asyncio
import json
import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from support.local_runs import LocalRun, until
from trackside_runner_local.processes import Process, identify, is_alive, send

pytestmark = pytest.mark.processes

Runs = Callable[..., LocalRun]

WAITS = "import sys, time; print('up', flush=True); time.sleep(600)"
LEAVES_A_CHILD = """
import subprocess, sys
waits = [sys.executable, "-c", "import time; time.sleep(600)"]
subprocess.Popen(waits, start_new_session=True)
sys.exit(3)
"""
DAEMON = """
import os, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork():
        os._exit(0)
    code = "import os, sys, time; f = open('draft', 'w'); f.write(str(os.getpid())); f.close();" \
        "os.rename('draft', sys.argv[1]); time.sleep(600)"
    os.execve(sys.executable, [sys.executable, "-c", code, sys.argv[1]], {})
time.sleep(600)
"""
NEVER_THE_SAME = """
import os, signal, time
for _ in range(8):
    if os.fork() == 0:
        break
else:
    os.write(1, b"up\\n")
    time.sleep(600)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
deadline = time.monotonic() + 60
while time.monotonic() < deadline:  # each goes on in a child of another session
    if os.fork():
        os._exit(0)
    os.setsid()
    time.sleep(0.002)
"""
STOPS_ITSELF = """
import os, signal, subprocess, sys, time
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
os.write(1, b"up\\n")
os.kill(os.getpid(), signal.SIGSTOP)
time.sleep(600)
"""
FACTS = """
import json, os, resource, signal, sys
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
print(json.dumps({
    "descriptors": sorted(int(name) for name in os.listdir("/proc/self/fd"))[:-1],
    "ignored": int(status["SigIgn"], 16), "blocked": int(status["SigBlk"], 16),
    "session": os.getsid(0) == os.getpid(), "group": os.getpgid(0) == os.getpid(),
    "input": os.readlink("/proc/self/fd/0"), "environment": dict(os.environ),
}))
"""


def resident_kilobytes(process: Process) -> int:
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0])


async def test_program_has_a_session_of_its_own_and_nothing_inherited(runs: Runs) -> None:
    run = runs(FACTS)
    read_end, write_end = os.pipe()
    os.set_inheritable(write_end, True)  # noqa: FBT003 - takes it by place alone

    await run.to_the_end()

    os.close(read_end)
    os.close(write_end)
    facts = json.loads(run.reporter.output())
    assert facts["descriptors"] == [0, 1, 2]
    assert facts["input"] == os.devnull
    assert (facts["session"], facts["group"]) == (True, True)
    assert facts["blocked"] == 0
    ignored = {number for number in signal.valid_signals() if facts["ignored"] >> number - 1 & 1}
    assert ignored <= {signal.SIGPIPE, signal.SIGXFSZ}  # Python's own; some are libc's alone


async def test_program_sees_of_ours_only_its_own_run(
    runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRACKSIDE_HOME", "/secret/home")
    monkeypatch.setenv("TRACKSIDE_TOKEN", "the agent's own")
    monkeypatch.setenv("SOME_SETTING", "kept")
    run = runs(FACTS)

    await run.to_the_end()

    environment = json.loads(run.reporter.output())["environment"]
    ours = {name: value for name, value in environment.items() if name.startswith("TRACKSIDE")}
    assert ours == {
        "TRACKSIDE_SERVER": run.spec.server,
        "TRACKSIDE_RUN_ID": run.spec.run_id,
        "TRACKSIDE_TOKEN": run.spec.token,
    }
    assert environment["SOME_SETTING"] == "kept"
    assert "PYTHONPATH" not in environment


async def test_records_are_readable_by_their_owner_alone(runs: Runs) -> None:
    run = runs("print('x')")

    await run.to_the_end()

    assert {file.stat().st_mode & 0o077 for file in run.folder.iterdir()} == {0}


async def test_supervisors_are_small_and_gone_with_their_run(runs: Runs) -> None:
    run = runs(WAITS)
    handle = await run.launch()
    supervisors = run.supervisors()
    resident = [resident_kilobytes(one) for one in supervisors]

    await run.runner.kill(handle)

    assert len(supervisors) == 2
    assert max(resident) < 14 * 1024
    await until(lambda: not any(map(is_alive, supervisors)))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
async def test_supervisor_outlives_signals_that_end_programs(
    runs: Runs, number: signal.Signals
) -> None:
    run = runs(WAITS)
    handle = await run.launch()

    send(run.supervisor, number)
    send(run.process, signal.SIGTERM)
    ending = await run.follow(handle)

    assert ending.exit_signal == signal.SIGTERM


async def test_what_a_command_leaves_behind_ends_with_it(runs: Runs) -> None:
    run = runs(LEAVES_A_CHILD)

    ending = await run.to_the_end()

    assert ending.exit_code == 3
    assert "1 processes that outlived the command" in ending.message
    assert run.processes() == set()


async def test_program_that_closes_its_output_goes_on(runs: Runs) -> None:
    run = runs("import os, sys, time\nos.close(1); os.close(2); time.sleep(0.2); sys.exit(6)")

    assert (await run.to_the_end()).exit_code == 6


async def test_daemon_without_environment_is_found_and_ended(runs: Runs, tmp_path: Path) -> None:
    run = runs(DAEMON, tmp_path / "daemon")
    handle = await run.launch()
    await until((tmp_path / "daemon").exists)
    daemon = identify(int((tmp_path / "daemon").read_text()))
    assert daemon not in run.processes()

    await run.runner.kill(handle)

    assert not is_alive(daemon)


@pytest.mark.parametrize("way", ["kill", "stop"])
@pytest.mark.parametrize("program", [NEVER_THE_SAME, STOPS_ITSELF], ids=["flees", "stopped"])
async def test_nothing_is_left_of_a_program_that_is_hard_to_end(
    runs: Runs, program: str, way: str
) -> None:
    run = runs(program)
    handle = await run.launch()
    await until(lambda: (run.folder / "output").exists() and run.processes())

    if way == "kill" or not await run.runner.stop(handle, 0.2):
        await run.runner.kill(handle)
    ending = await run.follow(handle)

    assert run.processes() == set()
    assert ending.on_request


async def test_use_of_the_machine_is_recorded(runs: Runs) -> None:
    run = runs("data = bytearray(64 * 1024 * 1024); sum(range(3_000_000))")

    await run.to_the_end()

    record = run.record("exit.json")
    assert record["peak_memory_bytes"] > 64 * 1024 * 1024
    assert 0.01 < record["processor_seconds"] < 20
    assert record["end_time"] >= run.record("start.json")["start_time"]


async def test_command_runs_only_after_its_start_is_recorded(runs: Runs) -> None:
    run = runs("print(open('start.json').read())")
    run.spec = replace(run.spec, work_directory=str(run.folder))

    await run.to_the_end()

    assert json.loads(run.reporter.output()) == run.record("start.json")


async def test_ten_supervisors_of_one_run_start_one_command(runs: Runs, tmp_path: Path) -> None:
    run = runs("import sys; open(sys.argv[1], 'a').write('x')", tmp_path / "starts")
    others = [LocalRun(tmp_path, ["unused"]) for _ in range(9)]
    for other in others:
        other.spec = run.spec

    handles = await asyncio.gather(*(one.launch() for one in (run, *others)))
    await run.follow(handles[0])

    assert (tmp_path / "starts").read_text() == "x"


async def test_output_is_reported_while_the_program_runs(runs: Runs) -> None:
    run = runs(WAITS)
    handle = await run.launch()
    following = asyncio.ensure_future(run.runner.adopt(handle, run.reporter))

    await until(lambda: run.reporter.output() == b"up\n")

    await run.runner.kill(handle)
    await following
    assert run.reporter.endings[0].exit_signal == signal.SIGKILL
