"""When a run that somebody follows counts as over."""

import time
from collections.abc import Callable
from typing import Final

from trackside.cli.exit_codes import ExitCode
from trackside.client.states import has_ended
from trackside_protos.runs.v1.run_pb2 import Run
from trackside_protos.runs.v1.run_state_pb2 import RunState

QUIET: Final = 2.0
"""Seconds without news after which an ended run that is not sealed yet counts as over."""

_SIGNAL_BASE: Final = 128


class EndOfRun:
    """Knows when a run is over: sealed, or ended and quiet.

    A program that was killed never says that it has nothing more to say, and its run is
    sealed only half a minute later; nobody should wait so long for nothing.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._last_news = clock()

    def news(self) -> None:
        """Note that something came."""
        self._last_news = self._clock()

    def is_over(self, run: Run, *, ended_children: int = 0) -> bool:
        """Return whether nothing more is to be expected.

        Args:
            run: The run as it was last told of.
            ended_children: How many of a parent's children were told to have ended: they
                are watched apart from it, and may come a moment later.
        """
        if not has_ended(run):
            return False
        all_told = run.sealed and ended_children >= run.children.total_count
        return all_told or self._clock() - self._last_news > QUIET


def exit_code_of_run(run: Run) -> int:
    """Return how a followed run ended: the exit code of its command, where it has one."""
    if result_code(run) != ExitCode.RUN_TERMINATED:
        if run.HasField("exit_signal"):
            return _SIGNAL_BASE + run.exit_signal
        if run.HasField("exit_code"):
            return run.exit_code
    return result_code(run)


def result_code(run: Run) -> ExitCode:
    """Return how an ended run ended: completed, failed, or ended by a user."""
    outcome = run.outcome if run.state == RunState.RUN_STATE_IDLE else run.state
    if outcome == RunState.RUN_STATE_TERMINATED:
        return ExitCode.RUN_TERMINATED
    return ExitCode.OK if outcome == RunState.RUN_STATE_COMPLETED else ExitCode.RUN_FAILED
