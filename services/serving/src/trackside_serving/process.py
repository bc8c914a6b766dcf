"""Running a server process from its start to SIGINT or SIGTERM."""

import asyncio
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Coroutine
from typing import Any, Final

from trackside_serving.starting import StartError

EXIT_CANNOT_START: Final = 78
"""The exit status when a setting is at fault (`EX_CONFIG`)."""

EXIT_STUCK: Final = 70
HARD_DEADLINE: Final = 9.5
"""Seconds after the signal at which the process goes, whatever still holds it."""

_logger: Final = logging.getLogger(__name__)

Main = Callable[[asyncio.Event], Coroutine[Any, Any, None]]
"""Starts, waits until the event is set by a signal, and goes down."""


def run(main: Main) -> int:
    """Run `main` on uvloop, where there is one; return the exit status.

    An error of the start is one line on standard error. A second signal, or `HARD_DEADLINE`,
    ends the process at once.
    """
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(_until_signalled(main))
    except StartError as error:
        print(f"trackside: {error}", file=sys.stderr)  # noqa: T201 - for whoever started us
        return EXIT_CANNOT_START
    return 0


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop  # noqa: PLC0415 - there is none for Windows
    except ImportError:
        return None
    return uvloop.new_event_loop


async def _until_signalled(main: Main) -> None:
    loop, stop = asyncio.get_running_loop(), asyncio.Event()

    def on_signal() -> None:
        if stop.is_set():
            os._exit(EXIT_STUCK)
        stop.set()
        # A thread, not the loop: the loop may be what is stuck.
        timer = threading.Timer(HARD_DEADLINE, _give_up)
        timer.daemon = True
        timer.start()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, on_signal)
    await main(stop)


def _give_up() -> None:
    _logger.error("did not go down in time")
    os._exit(EXIT_STUCK)
