"""Starts, finds and stops the agent of a home, from other processes. Light to import."""

import os
import select
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from trackside_agent.lock import find_owner

START_SECONDS: Final = 15.0
STOP_SECONDS: Final = 15.0
LOOK_AGAIN_SECONDS: Final = 0.02


class AgentNotStartedError(Exception):
    """The agent did not come up; the text has the end of its log."""


class AgentNotStoppedError(Exception):
    """The agent did not end in time."""


def find_running(home: Path) -> int | None:
    """Return the pid of the agent that runs for this home, or None."""
    return find_owner(home / "agent" / "lock")


def start_detached(home: Path, server: str) -> int:
    """Return the pid of the agent of this home, started if there is none.

    It has a session of its own and outlives the caller. It takes over the caller's environment,
    but for its own settings, and finds its token in the home.

    Raises:
        AgentNotStartedError: It did not come up.
    """
    running = find_running(home)
    if running is not None:
        return running
    log = home / "agent" / "start.log"
    log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    environment = {
        name: value for name, value in os.environ.items() if name not in _NOT_INHERITED
    } | {"TRACKSIDE_HOME": str(home), "TRACKSIDE_SERVER": server}
    with log.open("wb") as output:
        started = subprocess.run(
            [sys.executable, "-m", "trackside_agent", "--detach"],
            cwd="/",
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            check=False,
        )
    deadline = time.monotonic() + START_SECONDS
    while (found := find_running(home)) is None:
        if started.returncode or time.monotonic() > deadline:
            message = f"the agent did not start: {log.read_text(errors='replace')[-2000:]}"
            raise AgentNotStartedError(message)
        time.sleep(LOOK_AGAIN_SECONDS)
    return found


def stop(home: Path) -> bool:
    """End the agent of this home; its runs go on. Return whether there was one.

    Raises:
        AgentNotStoppedError: It has not ended in time.
    """
    pid = find_running(home)
    if pid is None:
        return False
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        if find_running(home) == pid:  # still: what is bound now is the agent
            with suppress(ProcessLookupError):  # it has just ended by itself
                signal.pidfd_send_signal(descriptor, signal.SIGTERM)
            if not select.select([descriptor], [], [], STOP_SECONDS)[0]:
                message = f"the agent with process id {pid} has not ended"
                raise AgentNotStoppedError(message)
    finally:
        os.close(descriptor)
    return True


_NOT_INHERITED: Final = frozenset(
    {
        "TRACKSIDE_TOKEN",
        "TRACKSIDE_RUN_ID",
        # A server's own secrets: who starts the agent may be one.
        "TRACKSIDE_DATABASE_URL",
        "TRACKSIDE_REDIS_URL",
        "TRACKSIDE_SERVICE_TOKEN",
    }
)
