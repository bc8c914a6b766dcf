"""What everything that is said of a run goes through."""

import threading
from time import time_ns

from trackside.session.recorder import Recorder
from trackside.session.reporter import Reporter
from trackside_protos.runs.v1.report_pb2 import RunReport


class Speaker:
    """Says things of one run; each face of `Run` is one."""

    def __init__(
        self, run_id: str, name: str, reporter: Reporter | None, recorder: Recorder
    ) -> None:
        """Without a reporter nothing is reported."""
        self.run_id = run_id
        """The run's id."""
        self.name = name
        """What people call it."""
        self._reporter = reporter
        self._recorder = recorder
        self._telling = threading.RLock()
        """Held from a look at what is known until it is reported, so that no thread reports what
        another knows better; the thread of the errands is one."""

    def _report(self, report: RunReport) -> None:
        report.time.FromNanoseconds(time_ns())
        self._recorder.add_report(report)

    def complain(self, text: str) -> None:
        """Say once in the run's own log what did not work out."""
        if self._reporter is not None:
            self._reporter.complain(text)

    def _mask(self, text: str) -> str:
        """Return the text with every secret of the environment masked."""
        return text if self._reporter is None else self._reporter.masker.text(text)
