"""A run in a process that it was sent to, as the argument of a spawned worker."""

import atexit
import copyreg
import os
import threading
from collections.abc import Callable
from typing import Final

from trackside.location import discover
from trackside.session.mode import Mode, mode
from trackside.session.open_runs import open_runs
from trackside.session.reporter import Reporter
from trackside.session.run import Run, silent_run


class _Attaching:
    """Lets one thread at a time look whether a run is there and attach to it if not."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        os.register_at_fork(after_in_child=self._renew)

    def _renew(self) -> None:
        self.lock = threading.Lock()


_attaching: Final = _Attaching()


def let_runs_be_sent() -> None:
    """Let a run be an argument of work in other processes."""
    copyreg.pickle(Run, _sent)


def attached(run_id: str, name: str) -> Run:
    """Return the run as a forked child has it: a producer of its own, which does not end it.

    In the process that it comes from, and where it was sent before, it is the run that is there.
    """
    with _attaching.lock:
        for run in open_runs:
            if isinstance(run, Run) and run.run_id == run_id:
                return run
        chosen = mode()
        if chosen is Mode.DISABLED:
            return silent_run(run_id, name)
        reporter = Reporter(discover(), chosen, run_id, None)
        run = Run(run_id, name, reporter, reporter.recorder)
        run.after_fork_in_child()
        open_runs.host(run)
        atexit.register(run.finish)
        return run


def _sent(run: Run) -> tuple[Callable[[str, str], Run], tuple[str, str]]:
    run.before_fork()
    return (silent_run if run.is_silent else attached), (run.run_id, run.name)
