"""Ends a run with everything that it started, through its supervisor or without it."""

import asyncio
import os
import signal
from typing import Final

from trackside_runner_local import processes, records
from trackside_runner_local.presence import Presence, recorded
from trackside_runner_local.processes import Process

ROUND_SECONDS: Final = 0.02
ASK_AGAIN_SECONDS: Final = 1.0
TIMES_ASKED: Final = 10


async def kill(run_id: str, folder: str) -> None:
    """Kill a run and return when none of its processes is left."""
    try:
        start = records.read(folder, records.START)
    except FileNotFoundError:
        return
    with Presence(recorded(start, "supervisor")) as supervisor:
        for _ in range(TIMES_ASKED):
            if not supervisor.ended.is_set():
                supervisor.send(signal.SIGCONT)  # somebody may have stopped it
                _ask(folder)
                await supervisor.wait(ASK_AGAIN_SECONDS)
        if not supervisor.ended.is_set():
            await _end_without_supervisor(run_id, recorded(start, "process"))
            supervisor.send(signal.SIGKILL)
            await supervisor.ended.wait()
    if not records.exists(folder, records.EXIT) and start["boot_id"] == processes.boot_id():
        await _end_without_supervisor(run_id, recorded(start, "process"))


def _ask(folder: str) -> None:
    """Tell the supervisor; it may be gone, which is noticed elsewhere."""
    try:
        control = os.open(f"{folder}/{records.CONTROL}", os.O_WRONLY | os.O_NONBLOCK)
    except OSError:
        return
    try:
        os.write(control, records.KILL)
    except OSError:
        return
    finally:
        os.close(control)


async def _end_without_supervisor(run_id: str, process: Process | None) -> None:
    """Kill what is found by the run's mark in its environment, and whatever that started."""

    def find() -> set[Process]:
        found = processes.marked(f"TRACKSIDE_RUN_ID={run_id}")
        if process is not None and processes.is_alive(process):
            found.add(process)
        return found | processes.descendants([one.pid for one in found])

    while True:
        if not await asyncio.to_thread(processes.end, find):
            return
        await asyncio.sleep(ROUND_SECONDS)  # for the system to take them away
