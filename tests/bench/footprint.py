"""What it costs to have Trackside around: imports, calls, memory at rest."""

import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Final

import psutil

from bench.figures import Figure
from bench.product import running

_LOG_CALLS: Final = """
import timeit
import trackside
with trackside.start_run("bench", capture=False) as run:
    run.log({"loss": 0.5}, step=0)
    count = 20000
    taken = min(timeit.repeat(lambda: run.log({"loss": 0.5}, step=1), number=count, repeat=5))
    print(taken / count * 1e6)
"""


_LOOKS: Final = """
import time
from trackside.session.system_metrics import SystemMetrics, meter_of_this_system
system = SystemMetrics(lambda points: None, meter_of_this_system(), 10)
system.look()
begun = time.process_time()
for _ in range(20):
    system.look()
print((time.process_time() - begun) / 20 * 1e3)
"""


def client() -> list[Figure]:
    """The processor time of a command, an import, a call in a training loop, a look around it."""
    python = sys.executable
    version = _cpu_milliseconds([str(Path(python).with_name("trackside")), "version"])
    empty = _cpu_milliseconds([python, "-c", ""])
    imported = _cpu_milliseconds([python, "-c", "import trackside"]) - empty
    return [
        Figure("`trackside version`, processor time", version, "ms", "≤ 100 ms", 100),
        Figure("`import trackside`, processor time", imported, "ms", "≤ 60 ms", 60),
        Figure("`run.log` of one value", _said_by(_LOG_CALLS), "µs", "≤ 5 µs, aim 1.5", 5),
        Figure("a look at the system, every 10 s", _said_by(_LOOKS), "ms", "≤ 50 ms", 50),
    ]


def memory() -> list[Figure]:
    """The resident memory of an idle server and its agent."""
    with running() as product:
        server, agent = map(_resident_megabytes, (product.process.pid, product.agent_pid))
    return [
        Figure("idle server, resident", server, "MB", "≤ 150 MB", 150),
        Figure("idle agent, resident", agent, "MB", "≤ 60 MB", 60),
    ]


def _said_by(program: str) -> float:
    """Return the last word of a Python program."""
    with tempfile.TemporaryDirectory() as home:
        environment = os.environ | {"TRACKSIDE_HOME": home, "TRACKSIDE_MODE": "offline"}
        done = subprocess.run(
            [sys.executable, "-c", program],
            env=environment,
            capture_output=True,
            check=True,
            text=True,
        )
    return float(done.stdout.split()[-1])


def _resident_megabytes(pid: int) -> float:
    return psutil.Process(pid).memory_info().rss / 1e6


def _cpu_milliseconds(command: Sequence[str]) -> float:
    taken: list[float] = []
    for _ in range(7):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(command, check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        taken.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return median(taken) * 1000
