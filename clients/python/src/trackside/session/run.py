"""One run, as the program that it is sees it."""

import threading
from time import time_ns
from types import TracebackType

from typing_extensions import override

from trackside.capture.lines import Line
from trackside.capture.masking import Masker
from trackside.session.block import Block
from trackside.session.control import Control
from trackside.session.description import Description
from trackside.session.ending import Ending
from trackside.session.failure import Outcome, error_report, outcome_of
from trackside.session.material import Material
from trackside.session.narration import Narration
from trackside.session.open_runs import open_runs
from trackside.session.place import here
from trackside.session.recorder import LineDraft, Recorder
from trackside.session.reporter import Reporter
from trackside.session.structure import Structure
from trackside_protos.logs.v1.log_entry_pb2 import LogLevel
from trackside_protos.runs.v1.report_pb2 import RunReport, StateReport
from trackside_protos.runs.v1.run_pb2 import ControlRequest, ErrorReport


class Run(Narration, Structure, Description, Material, Block["Run"]):
    """What a program says of its own run.

    A context manager, sync and async: leaving it ends the run, COMPLETED, or FAILED when an
    exception leaves it too. Without `with`, `finish` or the end of the program ends it. Every
    method may be called from any thread, costs microseconds, and raises nothing for want of a
    server or a disk. May be sent to other processes of this machine, as an argument of a worker.
    """

    def __init__(
        self, run_id: str, name: str, reporter: Reporter | None, recorder: Recorder
    ) -> None:
        """Made by `start_run`, not by users; without a reporter nothing is reported."""
        super().__init__(run_id, name, reporter, recorder)
        self._ending = Ending()
        self._control = Control(reporter, self._ending) if reporter is not None else None

    def __repr__(self) -> str:
        return f"<trackside run {self.run_id} {self.name!r}>"

    def _repr_html_(self) -> str:
        """Return a card for notebooks."""
        from trackside.client.card import card  # noqa: PLC0415 - only notebooks show it

        ended = self._ending.has_begun
        address = f"trackside watch {self.run_id}" if self._reporter is not None else ""
        state = "ENDED" if ended else "RUNNING" if self._reporter is not None else "DISABLED"
        return card(self.run_id, self.name, state, facts=[("follow it by", address)])

    def flush(self, timeout: float = 10.0) -> bool:
        """Wait until the server has everything said before; say whether it has."""
        if self._reporter is None or self._ending.has_begun:
            return False
        self._reporter.wait_recorded()
        return self._reporter.flush(timeout)

    def finish(self, error: BaseException | None = None) -> None:
        """End the run, as the exception says if there is one. Later calls change nothing.

        Waits for the delivery: some seconds at most when the server cannot be reached, longer
        while it takes things. What is not delivered then is kept and sent by a later program.
        """
        if self._begin_end():
            self._end(error)

    @override
    def enter(self) -> "Run":
        return self

    @override
    def leave(self, error: BaseException | None) -> None:
        self.finish(error)

    @override
    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # The delivery is waited for while others go on.
        if self._begin_end():
            from trackside.client.in_thread import in_thread  # noqa: PLC0415 - imports asyncio

            self._let_go()
            try:
                await in_thread(lambda: self._close(outcome_of(error)))
            finally:
                open_runs.settle()

    # For this package.

    @property
    def is_silent(self) -> bool:
        """Whether nothing of it is reported."""
        return self._reporter is None

    def obey(self, request: ControlRequest) -> None:
        """Do what the server asks of a run that this program is."""
        if self._control is not None:
            self._control.obey(request)

    def end_with_program(self, error: BaseException | None) -> None:
        """End the run: the program ends, and nothing else is done any more by its thread."""
        if self._ending.take_up():
            self._end(error)
        else:
            self._wait_killed()

    def before_fork(self) -> None:
        """Note that a process is about to be forked off."""
        if self._reporter is not None:
            self._reporter.before_fork()

    def after_fork_in_child(self) -> None:
        """Go on as a producer of one's own, which does not end the run."""
        # Another thread may have used the locks of the parent at this moment.
        self._telling = threading.RLock()
        if not self._ending.has_begun:
            self._ending = Ending()
        if self._reporter is not None:
            self._reporter.become_child()

    def _begin_end(self) -> bool:
        """Say whether it is for the caller to end the run."""
        if self._ending.begin():
            return True
        self._wait_killed()
        return False

    def _wait_killed(self) -> None:
        if self._control is not None:
            self._control.wait_killed()

    def _end(self, error: BaseException | None) -> None:
        try:
            try:
                self._let_go()
            finally:
                self._close(outcome_of(error))
        finally:
            open_runs.settle()  # a signal that comes before ends the program by an exception

    def _let_go(self) -> None:
        """Take up nothing more of what the program does."""
        open_runs.discard(self)
        self.untap_logging()

    def _close(self, outcome: Outcome) -> None:
        if self._reporter is not None:
            try:
                self._say_end(outcome, self._reporter)
                self._reporter.wait_delivered()
            except Exception as failure:  # noqa: BLE001 - the program's own end is what counts
                self.complain(f"{type(failure).__name__}: {failure}")
        self._recorder.mute()

    def _say_end(self, outcome: Outcome, reporter: Reporter) -> None:
        """Wait for what comes before the end, and say the end: also if a wait is interrupted."""
        last: list[RunReport] = []
        try:
            try:
                reporter.stop_capture()
                if self._control is not None and not reporter.is_child:
                    self._control.end_stopped()
            finally:
                last = self._last_reports(outcome, reporter)
            reporter.finish_errands()
        finally:
            reporter.say_last(last)

    def _last_reports(self, outcome: Outcome, reporter: Reporter) -> list[RunReport]:
        if reporter.is_child or self._control is None:
            return []
        outcome = self._control.outcome_of(outcome)
        mask = reporter.masker.text
        reports: list[RunReport] = []
        if outcome.error is not None:
            place = self._failures.place_of(outcome.error, here(self.run_id))
            error = error_report(outcome.error, place)
            error.message, error.traceback = mask(error.message), mask(error.traceback)
            reports.append(RunReport(error=error))
            self._add_last_line(error)
        state = StateReport(
            state=outcome.state, reason=outcome.reason, message=mask(outcome.message)
        )
        if outcome.exit_code is not None:
            state.exit_code = outcome.exit_code
        reports.append(RunReport(state=state))
        for report in reports:
            report.time.GetCurrentTime()
        return [*reports, *self._control.confirmations()]

    def _add_last_line(self, error: ErrorReport) -> None:
        self._recorder.add_line(
            LineDraft(
                time_ns(),
                LogLevel.LOG_LEVEL_ERROR,
                Line(f"{error.kind}: {error.message}"),
                "log",
                error.task_id,
                dict(error.context),
                "trackside",
            )
        )


def silent_run(run_id: str = "", name: str = "") -> Run:
    """Return a run that does nothing, whatever is said of it."""
    recorder = Recorder(Masker([]), lambda _: None)
    recorder.mute()
    return Run(run_id, name, None, recorder)
