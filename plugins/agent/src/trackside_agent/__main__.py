"""The agent's process: `python -m trackside_agent [--detach]`, until SIGTERM or SIGINT.

With `--detach` it leaves its parent and its terminal at once. Exits 1 when the home has an agent
already.
"""

import os
import select
import signal
import sys
from types import FrameType
from typing import Final

from trackside_agent.lock import AgentLock, AgentRunningError
from trackside_agent.settings import Settings

DETACH: Final = "--detach"
HOUSEKEEPING_SECONDS: Final = 0.5


def main(settings: Settings) -> int:
    """Be an agent until told to stop, and return the exit code. To be called on the main thread."""
    lock = AgentLock(settings.folder.lock)
    try:
        lock.take()
    except AgentRunningError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    # Only now, for it imports grpc: whether there is an agent is told at once.
    from trackside_agent.bootstrap import Agent, configure_log  # noqa: PLC0415

    configure_log(settings)
    stopped = _catch_signals()
    agent = Agent(settings)
    agent.start()
    # An agent whose home was removed can be found by nobody, and has nothing left to keep.
    while lock.is_there and not select.select([stopped], [], [], HOUSEKEEPING_SECONDS)[0]:
        agent.keep_house()
    agent.stop()
    return 0


def _catch_signals() -> int:
    """Return a descriptor that becomes readable with the first signal to stop."""
    readable, writable = os.pipe()
    os.set_blocking(writable, False)
    signal.set_wakeup_fd(writable, warn_on_full_buffer=False)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _wake)
    return readable


def _wake(_number: int, _frame: FrameType | None) -> None:
    """Do nothing: the wakeup descriptor says it all."""


def _detach() -> None:
    """Leave parent and terminal, before there is any thread."""
    if os.fork():
        os._exit(0)
    os.setsid()


if __name__ == "__main__":
    if DETACH in sys.argv[1:]:
        _detach()
    sys.exit(main(Settings.from_environment()))
