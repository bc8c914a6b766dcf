"""The agent beside the server: one for each home, which outlives a server that dies."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from trackside_agent import durable
from trackside_agent.detached import (
    AgentNotStartedError,
    AgentNotStoppedError,
    find_running,
    start_detached,
    stop,
)

__all__ = ["AgentNotStartedError", "AgentNotStoppedError", "Companion", "dismiss", "summon"]

_SERVER_FILE: Final = "server"


@dataclass(frozen=True, slots=True)
class Companion:
    """The agent that works for this server."""

    pid: int
    """Its process."""
    was_running: bool
    """Whether it was there before."""


def summon(home: Path, server: str) -> Companion:
    """Return the agent of this home, started if there is none that dials this server.

    Blocks until it runs. One that an earlier server at another address left behind is replaced;
    its runs go on with the new one.

    Raises:
        AgentNotStartedError: It did not come up.
        AgentNotStoppedError: The one for another address has not ended.
    """
    told = home / "agent" / _SERVER_FILE
    running = find_running(home)
    if running is not None:
        if not told.exists() or told.read_text("utf-8") == server:
            return Companion(running, was_running=True)
        stop(home)
    # Before it starts: whoever finds an agent finds whom it dials, also if we are killed here.
    durable.make_folder(told.parent)
    durable.write(told, server.encode())
    return Companion(start_detached(home, server), was_running=False)


def dismiss(home: Path) -> None:
    """End the agent of this home, if there is one; its runs go on. Blocks until it has ended.

    Raises:
        AgentNotStoppedError: It has not ended in time.
    """
    stop(home)
