"""Ends a run with everything that it started, through its supervisor or without it."""

import asyncio
import os
import signal
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Final

from trackside_plugin_interface import EngineUnavailableError
from trackside_runner_local import processes, records
from trackside_runner_local.presence import (
    Presence,
    is_over,
    see_to_it_that_it_is_held,
    send_supervisors,
    supervisors,
)
from trackside_runner_local.processes import Process

ROUND_SECONDS: Final = 0.02
LOOK_SECONDS: Final = 0.1
ASK_AGAIN_SECONDS: Final = 1.0
TIMES_ASKED: Final = 10


async def stop(folder: str, grace_seconds: float) -> bool:
    """Tell a run to end, once, and return whether nothing of it is left when it has to be.

    Raises:
        EngineUnavailableError: It has no supervisor that could, and gets none now.
    """
    start = records.read_if_there(folder, records.START)
    if not start:
        return True
    order = b"%b %.3f\n" % (records.STOP, grace_seconds)
    while not is_over(folder, start):
        await see_to_it_that_it_is_held(folder)
        with Presence(folder) as presence:
            for _ in range(TIMES_ASKED):
                if not presence.ended.is_set() and not records.exists(folder, records.TOLD):
                    send_supervisors(folder, start, signal.SIGCONT)  # it may have been stopped
                    _ask(folder, order)
                    await presence.wait(ASK_AGAIN_SECONDS)
            # From here on it is the supervisor that keeps the time, with us or without.
            while not presence.ended.is_set() and records.exists(folder, records.TOLD):
                if records.exists(folder, records.ESCALATION):
                    return False
                await presence.wait(LOOK_SECONDS)
            if not presence.ended.is_set():
                return False
    return not records.exists(folder, records.ESCALATION)


async def kill(run_id: str, folder: str) -> None:
    """Kill a run and return when none of its processes is left."""
    start = records.read_if_there(folder, records.START)
    while start and not is_over(folder, start):
        with suppress(EngineUnavailableError):  # then we do it ourselves
            await see_to_it_that_it_is_held(folder)
        with Presence(folder) as presence:
            if not presence.ended.is_set():
                await _have_it_killed(folder, start, presence)
                if presence.ended.is_set():
                    continue  # it has ended, or its supervisors were killed meanwhile
            state = records.read_if_there(folder, records.STATE)
            known = [Process.of(start["process"]), *processes.listed(state.get("processes"))]
            find = partial(processes.of_run, known, processes.marker(run_id))
            await _end_without_supervisor(find)
            # One after the other: who stands by, and does not hang, writes down the end.
            for process in supervisors(folder, start):
                if not presence.ended.is_set():
                    processes.send(process, signal.SIGKILL)
                    await presence.wait(ASK_AGAIN_SECONDS)
            return


async def _have_it_killed(folder: str, start: records.Record, presence: Presence) -> None:
    """Order the supervisor to kill the run, and return when it has ended or does not obey."""
    for _ in range(TIMES_ASKED):
        if not presence.ended.is_set():
            send_supervisors(folder, start, signal.SIGCONT)
            _ask(folder, records.KILL + b"\n")
            await presence.wait(ASK_AGAIN_SECONDS)


def _ask(folder: str, order: bytes) -> None:
    """Tell the supervisor; it may be gone, which is noticed elsewhere."""
    try:
        control = os.open(f"{folder}/{records.CONTROL}", os.O_WRONLY | os.O_NONBLOCK)
    except OSError:
        return
    try:
        os.write(control, order)
    except OSError:
        return
    finally:
        os.close(control)


async def _end_without_supervisor(find: Callable[[], set[Process]]) -> None:
    while True:
        if not await asyncio.to_thread(processes.end, find):
            return
        await asyncio.sleep(ROUND_SECONDS)  # for the system to take them away
