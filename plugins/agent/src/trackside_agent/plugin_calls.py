"""Calls into plugins: whatever they raise becomes one of three errors, and a line in the log."""

import logging
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

from trackside_plugin_interface import EngineUnavailableError, SpecRefusedError

T = TypeVar("T")

logger = logging.getLogger(__name__)

FIRST_PAUSE: Final = 0.5
LONGEST_PAUSE: Final = 30.0


class PluginFaultError(Exception):
    """A runner raised what it should not have; the text names it."""


async def call(runner: str, work: Coroutine[Any, Any, T]) -> T:
    """Wait for what a runner does.

    Raises:
        SpecRefusedError: As the runner said.
        EngineUnavailableError: As the runner said.
        PluginFaultError: The runner is at fault.
    """
    try:
        return await work
    except (SpecRefusedError, EngineUnavailableError):
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
