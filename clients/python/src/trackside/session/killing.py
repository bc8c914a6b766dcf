"""The end of a program that reports its own run and is to be killed."""

import os
from collections.abc import Callable, Iterable
from typing import Final

from trackside.session.processes import forbid_children, kill_children
from trackside.session.reporter import Reporter
from trackside_protos.runs.v1.report_pb2 import RunReport, StateReport
from trackside_protos.runs.v1.run_state_pb2 import RunState, StateReason

EXIT_CODE: Final = 137
"""As of a program that the signal KILL has ended."""

_LAST_WORDS_SECONDS: Final = 5.0


def end_killed(
    reporter: Reporter,
    reason: "StateReason.ValueType",
    confirmations: Callable[[], Iterable[RunReport]],
) -> None:
    """End the children of this process, report the end of the run, and end this process."""
    try:
        forbid_children()  # the program goes on meanwhile
        none_left = kill_children()
        killed = RunReport(
            state=StateReport(
                state=RunState.RUN_STATE_TERMINATED, reason=reason, exit_code=EXIT_CODE
            )
        )
        killed.time.GetCurrentTime()
        # The process itself ends right behind its last report; nobody else could make it.
        reporter.end_killed([killed, *(confirmations() if none_left else [])])
        reporter.flush(_LAST_WORDS_SECONDS)
    finally:
        os._exit(EXIT_CODE)
