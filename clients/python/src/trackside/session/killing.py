"""What a program that reports its own run does when it is to be killed."""

import os
import threading
from typing import Final

from trackside.session.courier import courier
from trackside.session.processes import kill_children
from trackside.session.reporter import Reporter
from trackside_protos.runs.v1.report_pb2 import ControlReport, ControlStep, RunReport, StateReport
from trackside_protos.runs.v1.run_pb2 import ControlRequest
from trackside_protos.runs.v1.run_state_pb2 import RunState, StateReason

EXIT_CODE: Final = 137
"""As of a program that the signal KILL has ended."""

_LAST_WORDS_SECONDS: Final = 5.0
_begun: Final[set[str]] = set()


def kill_this_program(reporter: Reporter, request: ControlRequest) -> None:
    """End this process and its children, and say so. Returns at once; asked twice, does it once."""
    if request.request_id not in _begun:
        _begun.add(request.request_id)
        threading.Thread(
            target=_kill, args=(reporter, request), name="trackside-kill", daemon=True
        ).start()


def _kill(reporter: Reporter, request: ControlRequest) -> None:
    try:
        reporter.say([_step(request, ControlStep.CONTROL_STEP_ACKNOWLEDGED)])
        none_left = kill_children()
        killed = RunReport(
            state=StateReport(
                state=RunState.RUN_STATE_TERMINATED,
                reason=StateReason.STATE_REASON_KILLED,
                exit_code=EXIT_CODE,
            )
        )
        killed.time.GetCurrentTime()
        # The process itself ends right behind its last report; nobody else could make it.
        confirmed = [_step(request, ControlStep.CONTROL_STEP_CONFIRMED)] if none_left else []
        reporter.end_killed([killed, *confirmed])
        reporter.flush(_LAST_WORDS_SECONDS)
        courier.warn(f"this run was killed by {request.requester or 'its owner'}")
    finally:
        os._exit(EXIT_CODE)


def _step(request: ControlRequest, step: "ControlStep.ValueType") -> RunReport:
    report = RunReport(control=ControlReport(request_id=request.request_id, step=step))
    report.time.GetCurrentTime()
    return report
