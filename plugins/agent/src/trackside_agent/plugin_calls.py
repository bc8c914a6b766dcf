"""Calls into plugins: whatever else they raise becomes an error of ours, and a line in the log."""

import logging
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

from trackside_plugin_interface import (
    EngineUnavailableError,
    FileUnreadableError,
    RunnerError,
    SpecRefusedError,
)

T = TypeVar("T")

logger = logging.getLogger(__name__)

FIRST_PAUSE: Final = 0.5
LONGEST_PAUSE: Final = 30.0


class PluginFaultError(Exception):
    """A runner raised what it should not have; the text names it."""


RUNNING: Final = (SpecRefusedError, EngineUnavailableError)
"""What a runner may raise of a run."""

READING: Final = (FileUnreadableError, EngineUnavailableError)
"""What a runner may raise of a published file."""


async def call(
    runner: str,
    work: Coroutine[Any, Any, T],
    *,
    may_raise: tuple[type[RunnerError], ...] = RUNNING,
) -> T:
    """Wait for what a runner does.

    Raises:
        RunnerError: As the runner said, if it is one that it may raise.
        PluginFaultError: The runner is at fault.
    """
    try:
        return await work
    except may_raise:
        raise
    except (Exception, SystemExit) as error:
        message = f"runner {runner!r} is at fault: {type(error).__name__}: {error}"
        logger.exception("runner %s is at fault", runner)
        raise PluginFaultError(message) from error


class Pauses:
    """Pauses between tries, each longer than the one before, up to half a minute."""

    def __init__(self) -> None:
        self._next = FIRST_PAUSE

    def next(self) -> float:
        """Return how long to wait now, in seconds."""
        pause, self._next = self._next, min(self._next * 2, LONGEST_PAUSE)
        return pause
