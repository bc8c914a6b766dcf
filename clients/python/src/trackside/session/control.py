"""What the server asks of a run that this program is: to stop, or to be killed."""

import contextlib
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from trackside.session.courier import courier
from trackside.session.ending import Ending
from trackside.session.failure import Outcome
from trackside.session.interruption import interrupt_main_thread
from trackside.session.killing import end_killed
from trackside.session.open_runs import open_runs
from trackside.session.processes import end_what_would_be_left
from trackside.session.reporter import Reporter
from trackside_protos.runs.v1.report_pb2 import ControlReport, ControlStep, RunReport
from trackside_protos.runs.v1.run_pb2 import ControlRequest
from trackside_protos.runs.v1.run_state_pb2 import RunAction, StateReason

_GRACE_SECONDS: Final = 10.0
_LONGEST_KILL_SECONDS: Final = 20.0


class Control:
    """Obeys the requests to end one run, each once, and says how far each has got.

    A stop interrupts the program and is confirmed with the last report of the run. What has not
    begun to end after the grace time is killed, and so are then children that the program leaves.
    A kill overtakes a stop; then both are confirmed.
    """

    def __init__(self, reporter: Reporter, ending: Ending) -> None:
        self._reporter = reporter
        self._ending = ending
        self._requests: dict[str, ControlRequest] = {}
        self._acknowledged: list[ControlRequest] = []
        self._patience_ends = 0.0
        self._none_left = True
        self._threads: list[threading.Thread] = []

    def obey(self, request: ControlRequest) -> None:
        """Do what is asked. Returns at once; asked twice, does it once."""
        if request.request_id in self._requests:
            return
        if request.action == RunAction.RUN_ACTION_KILL:
            self._begin(request, self._kill)
        elif request.action == RunAction.RUN_ACTION_STOP:
            self._begin(request, self._stop)

    def outcome_of(self, outcome: Outcome) -> Outcome:
        """Return the outcome as it is of a run that was asked to stop."""
        for request in self._acknowledged:
            is_stop = request.action == RunAction.RUN_ACTION_STOP
            if is_stop and outcome.reason == StateReason.STATE_REASON_INTERRUPTED:
                return replace(
                    outcome,
                    reason=StateReason.STATE_REASON_STOPPED,
                    message=f"Stopped by {_requester(request)}.",
                )
        return outcome

    def end_stopped(self) -> None:
        """See that nothing is left of a program that was stopped, but what ends with it.

        Another run of the same program may still need its children.
        """
        if self._acknowledged and open_runs.newest is None:
            self._none_left = end_what_would_be_left(self._patience_ends)

    def confirmations(self) -> list[RunReport]:
        """Return the reports that what was acknowledged is done."""
        if not self._none_left:
            return []
        return [_step(each, ControlStep.CONTROL_STEP_CONFIRMED) for each in self._acknowledged]

    def wait_killed(self) -> None:
        """Wait for the end of this process, if it is being killed; it says its last words."""
        for thread in tuple(self._threads):
            with contextlib.suppress(RuntimeError):  # it does not run yet, and so ends nothing
                thread.join(_LONGEST_KILL_SECONDS)

    def _begin(self, request: ControlRequest, obey: Callable[[ControlRequest], None]) -> None:
        self._requests[request.request_id] = request
        name = f"trackside-{RunAction.Name(request.action)[len('RUN_ACTION_') :].lower()}"
        thread = threading.Thread(target=obey, args=(request,), name=name, daemon=True)
        self._threads.append(thread)  # before it can have begun the end, which is waited for
        with contextlib.suppress(RuntimeError):  # the interpreter goes down, and the run with it
            thread.start()

    def _stop(self, request: ControlRequest) -> None:
        if self._ending.has_begun:
            return
        self._patience_ends = time.monotonic() + _grace_of(request)
        self._acknowledge(request, "stopped")
        self._ending.unless_begun(interrupt_main_thread)
        if not self._ending.wait_begun(_grace_of(request)) and self._ending.begin():
            self._reporter.say([_step(request, ControlStep.CONTROL_STEP_ESCALATED)])
            end_killed(self._reporter, StateReason.STATE_REASON_STOPPED, self.confirmations)

    def _kill(self, request: ControlRequest) -> None:
        self._ending.begin()
        self._acknowledge(request, "killed")
        end_killed(self._reporter, StateReason.STATE_REASON_KILLED, self.confirmations)

    def _acknowledge(self, request: ControlRequest, done: str) -> None:
        self._acknowledged.append(request)
        self._reporter.say([_step(request, ControlStep.CONTROL_STEP_ACKNOWLEDGED)])
        courier.warn(f"this run was {done} by {_requester(request)}")


def _requester(request: ControlRequest) -> str:
    return request.requester or "its owner"


def _grace_of(request: ControlRequest) -> float:
    if request.HasField("grace_duration"):
        return max(0.0, request.grace_duration.ToTimedelta().total_seconds())
    return _GRACE_SECONDS


def _step(request: ControlRequest, step: "ControlStep.ValueType") -> RunReport:
    report = RunReport(control=ControlReport(request_id=request.request_id, step=step))
    report.time.GetCurrentTime()
    return report
