"""Limits that hold by the supervisor alone, and what a run is said to have used."""

import asyncio
import errno
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from support.local_runs import LocalRun, until
from trackside_plugin_interface import Ending, EndReason, Machine, Usage
from trackside_runner_local import meter
from trackside_runner_local.machine import machine_type
from trackside_runner_local.processes import is_alive

pytestmark = pytest.mark.processes

Runs = Callable[..., LocalRun]

MEBIBYTE = 1024 * 1024
CATCHES = """
import os, signal, time
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
os.write(1, b"up\\n")
time.sleep(600)
"""
RESISTS = """
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if os.fork() == 0:
    os.setsid()
time.sleep(600)
"""
SHARED_OUT = """
import os, sys, time
children = []
for _ in range(4):
    pid = os.fork()
    if pid == 0:
        mine = bytearray(b"x" * (int(sys.argv[1]) << 20))
        while not os.path.exists(sys.argv[2]):
            time.sleep(0.01)
        os._exit(0)
    children.append(pid)
for pid in children:
    os.waitpid(pid, 0)
"""
SHARES = """
import os, sys, time
ours = bytearray(b"x" * (64 << 20))
children = []
for _ in range(8):
    pid = os.fork()
    if pid == 0:
        time.sleep(1)
        os._exit(0)
    children.append(pid)
for pid in children:
    os.waitpid(pid, 0)
"""


def limit(run: LocalRun, *, seconds: float | None = None, mebibytes: int | None = None) -> LocalRun:
    memory = None if mebibytes is None else mebibytes * MEBIBYTE
    run.spec = replace(run.spec, time_limit_seconds=seconds, memory_limit_bytes=memory)
    return run


def usages(run: LocalRun) -> list[Usage]:
    return [report for report in run.reporter.reports if isinstance(report, Usage)]


async def after_the_host_was_away(run: LocalRun) -> Ending:
    """Return how a run ended that nobody followed before."""
    handle = await run.launch()
    await until(lambda: not is_alive(run.supervisor))
    return await run.follow(handle)


async def test_exit_code_0_after_the_time_limit_is_the_limit_all_the_same(runs: Runs) -> None:
    for seconds in (1.5, 6.0, 24.0):  # until the program has time to begin
        run = limit(runs(CATCHES), seconds=seconds)
        ending = await after_the_host_was_away(run)
        if run.reporter.output() == b"up\n":
            break

    assert ending.exit_code == 0
    assert ending.reason == EndReason.TIME_LIMIT
    assert ending.message == f"the limit is {seconds:g} s"
    assert ending.on_request is False


async def test_time_limit_ends_a_tree_that_resists(runs: Runs) -> None:
    run = limit(runs(RESISTS), seconds=0.3)

    ending = await after_the_host_was_away(run)

    assert run.processes() == set()
    assert ending.reason == EndReason.TIME_LIMIT


async def test_run_within_its_limits_ends_as_it_would_without(runs: Runs) -> None:
    run = limit(runs("import sys; sys.exit(4)"), seconds=600, mebibytes=4096)

    ending = await run.to_the_end()

    assert (ending.exit_code, ending.reason, ending.message) == (4, None, "")


async def test_memory_of_the_whole_tree_counts(runs: Runs, tmp_path: Path) -> None:
    run = limit(runs(SHARED_OUT, 48, tmp_path / "never"), mebibytes=128)

    ending = await after_the_host_was_away(run)

    assert run.processes() == set()
    assert ending.reason == EndReason.OUT_OF_MEMORY
    assert "MiB, and the limit is 128.0 MiB" in ending.message


async def test_memory_that_processes_share_counts_once(runs: Runs) -> None:
    run = limit(runs(SHARES), mebibytes=160)

    ending = await run.to_the_end()

    assert ending.reason is None
    assert 64 * MEBIBYTE < usages(run)[-1].peak_memory_bytes < 160 * MEBIBYTE


async def test_peak_is_that_of_the_whole_tree(runs: Runs, tmp_path: Path) -> None:
    run = runs(SHARED_OUT, 24, tmp_path / "go")
    handle = await run.launch()
    following = asyncio.ensure_future(run.follow(handle))

    await until(lambda: usages(run) and usages(run)[-1].peak_memory_bytes > 96 * MEBIBYTE)
    (tmp_path / "go").touch()
    await following

    assert usages(run)[-1].peak_memory_bytes > 96 * MEBIBYTE


async def test_processor_time_of_children_counts(runs: Runs) -> None:
    run = runs("import os\nif os.fork() == 0: sum(range(9_000_000))\nelse: os.wait()")

    await run.to_the_end()

    assert 0.05 < usages(run)[-1].processor_seconds < 30


async def test_usage_is_told_while_the_program_runs(runs: Runs) -> None:
    run = runs("import time\nend = time.time() + 600\nwhile time.time() < end: pass")
    handle = await run.launch()
    following = asyncio.ensure_future(run.runner.adopt(handle, run.reporter))

    await until(lambda: usages(run) and usages(run)[-1].processor_seconds > 0.1)

    await run.runner.kill(handle)
    await following


async def test_usage_is_known_when_the_supervisor_was_killed(runs: Runs) -> None:
    run = runs("import time; time.sleep(600)")
    handle = await run.launch()
    await until((run.folder / "usage.json").exists)
    run.kill_supervisor()

    await run.runner.kill(handle)
    await run.follow(handle)

    assert usages(run)[-1].peak_memory_bytes > MEBIBYTE


async def test_machine_is_told_before_the_run_ends(runs: Runs) -> None:
    run = runs("print()")

    await run.to_the_end()

    (machine,) = [one for one in run.reporter.reports if isinstance(one, Machine)]
    assert machine.machine_type
    assert machine.memory_bytes > MEBIBYTE


def test_process_that_ends_while_it_is_looked_at_has_none_below_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def gone(_path: str) -> list[str]:
        raise ProcessLookupError(errno.ESRCH, "No such process")

    monkeypatch.setattr(os, "listdir", gone)

    assert meter.below(os.getpid()) == []


@pytest.mark.parametrize(
    ("product", "expected"),
    [("m5.large\n", "m5.large"), ("To be filled by O.E.M.", None), ("", None), (None, None)],
)
def test_machine_type_is_the_product_or_the_architecture(
    tmp_path: Path, product: str | None, expected: str | None
) -> None:
    path = tmp_path / "product_name"
    if product is not None:
        path.write_text(product)

    assert machine_type(path) == (expected or machine_type(tmp_path / "nothing"))
