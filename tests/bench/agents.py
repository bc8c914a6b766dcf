"""What an agent needs for many local runs at once, from their launch to their end."""

import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import psutil
from google.protobuf.struct_pb2 import Value

from bench.figures import Figure
from bench.product import Product, running
from support.eventually import eventually
from support.plain_client import PlainClient
from trackside_protos.runs.v1.run_pb2 import Launch, Run, Sweep, SweepAxis
from trackside_protos.runs.v1.run_state_pb2 import RunState
from trackside_protos.runs.v1.runs_service_pb2 import CreateRunRequest, ListRunsRequest

_RUNS: Final = 200
_LINES: Final = 75
"""Of each run, five a second."""

_PROGRAM: Final = f"""
exec 3<> <(:)
wait_a_little() {{ read -t 0.2 -u 3; }}
until [ -e go ]; do wait_a_little; done
for ((line = 0; line < {_LINES}; line++)); do echo "run {{number}} says $line"; wait_a_little; done
exit 0
"""
"""Waits without starting a process, so that it is the agent that is measured."""


def many_runs() -> list[Figure]:
    """Two hundred programs that print a thousand lines a second between them."""
    with running({"TRACKSIDE_LOCAL_SLOTS": str(_RUNS)}) as product, _client(product) as client:
        agent = psutil.Process(product.agent_pid)
        ordered = time.monotonic()
        parent = client.call(client.runs.CreateRun, CreateRunRequest(run=_sweep(product.home)))
        parent_id = parent.run.run_id
        eventually(lambda: _count(client, parent_id, "RUNNING") == _RUNS, within=120)
        launched = time.monotonic() - ordered
        supervisors = _supervisor_megabytes(product.home)
        with _peak_megabytes(agent) as peak:
            begin, used = time.monotonic(), _cpu_seconds(agent)
            (product.home / "go").touch()
            eventually(lambda: _count(client, parent_id, "RUNNING") < _RUNS, within=120)
            cores = (_cpu_seconds(agent) - used) / (time.monotonic() - begin)
            eventually(
                lambda: client.run(parent_id).state == RunState.RUN_STATE_COMPLETED, within=60
            )
        children = client.children(parent_id)
        told = sum(1 for child in children for _ in client.log_entries(child.run_id))
    whole = f"{_RUNS} local runs, 1,000 lines/s"
    lines = _RUNS * _LINES
    return [
        Figure(f"{whole}: resident memory of the agent, peak", max(peak), "MB", "≤ 100 MB", 100),
        Figure(f"{whole}: processor of the agent", cores, "cores", "≤ 0.5 cores", 0.5),
        Figure(f"{whole}: lines told", told, "lines", f"{lines:,}", lines, higher_is_better=True),
        Figure(
            "a local run: launched, of 200 at once", launched / _RUNS * 1000, "ms", "≤ 250 ms", 250
        ),
        Figure("a local run: memory of its two supervisors", supervisors, "MB", "≤ 10 MB", 10),
    ]


def _sweep(folder: Path) -> Run:
    axis = SweepAxis(key="number", values=[Value(number_value=number) for number in range(_RUNS)])
    launch = Launch(command=["bash", "-c", _PROGRAM], work_directory=str(folder))
    grid = Sweep(axes=[axis], close_after_grid=True)
    return Run(name="many", runner="local", is_parent=True, launch=launch, sweep=grid)


@contextmanager
def _client(product: Product) -> Generator[PlainClient]:
    token = (product.home / "token").read_text().strip()
    with PlainClient(product.address, token) as client:
        yield client


def _count(client: PlainClient, parent_id: str, state: str) -> int:
    wanted = f'parent = "{parent_id}" AND state = {state}'
    request = ListRunsRequest(filter=wanted, page_size=_RUNS)
    return len(client.call(client.runs.ListRuns, request).runs)


def _supervisor_megabytes(home: Path) -> float:
    """Return what the supervisors of one run hold, shared pages counted in proportion."""
    marks = ("trackside_runner_local.supervisor", str(home))
    held = [
        process.memory_full_info().pss
        for process in psutil.process_iter(["cmdline"])
        if all(mark in " ".join(process.info["cmdline"] or ()) for mark in marks)
    ]
    return sum(held) / 1e6 / _RUNS


@contextmanager
def _peak_megabytes(process: psutil.Process) -> Generator[list[float]]:
    """Yield a list to which the resident memory of a process is added now and then."""
    seen: list[float] = []
    over = threading.Event()

    def look() -> None:
        while not over.wait(0.2):
            seen.append(process.memory_info().rss / 1e6)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join()


def _cpu_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system
