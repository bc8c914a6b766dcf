"""When a run that somebody follows counts as over."""

from typing import Final

from trackside.cli.exit_codes import ExitCode
from trackside.client.states import has_ended
from trackside_protos.runs.v1.run_pb2 import Run
from trackside_protos.runs.v1.run_state_pb2 import RunState

QUIET: Final = 2.0
"""Seconds without news after which an ended run of which more could come counts as over."""

_SIGNAL_BASE: Final = 128


class EndOfRun:
    """Knows when a run is over: all of it was told, or it has ended and is quiet.

    A program that was killed never says that it has nothing more to say, and its run is
    sealed only half a minute later; nobody should wait so long for nothing.
    """

    def __init__(self) -> None:
        self._quiet_seconds = 0.0

    def listened(self, seconds: float, *, had_news: bool) -> None:
        """Note that somebody listened to a server that is there, and whether something came.

        Only this counts, and no clock: to be busy, or suspended, is not to hear nothing.
        """
        self._quiet_seconds = 0.0 if had_news else self._quiet_seconds + seconds

    def is_over(self, run: Run, *, told_all: bool) -> bool:
        """Return whether nothing more is to be expected.

        Args:
            run: The run as it was last told of.
            told_all: Whether its watches have ended. The seal alone tells little: what the run
                has said comes beside it, and a slow reader is behind with that.
        """
        return has_ended(run) and (told_all or self._quiet_seconds >= QUIET)


def exit_code_of_run(run: Run) -> int:
    """Return how a followed run ended: the exit code of its command, where it has one.

    A run that failed is no success whatever its command says: one that reaches its time limit,
    and cleans up, may end with 0.
    """
    if result_code(run) != ExitCode.RUN_TERMINATED and run.HasField("exit_signal"):
        return _SIGNAL_BASE + run.exit_signal
    if result_code(run) == ExitCode.RUN_FAILED:
        return run.exit_code or ExitCode.RUN_FAILED
    return result_code(run)


def result_code(run: Run) -> ExitCode:
    """Return how an ended run ended: completed, failed, or ended by a user."""
    outcome = run.outcome if run.state == RunState.RUN_STATE_IDLE else run.state
    if outcome == RunState.RUN_STATE_TERMINATED:
        return ExitCode.RUN_TERMINATED
    return ExitCode.OK if outcome == RunState.RUN_STATE_COMPLETED else ExitCode.RUN_FAILED
