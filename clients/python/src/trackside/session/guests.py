"""A run in a process that it was sent to, as the argument of a spawned worker."""

import atexit

from trackside.location import discover
from trackside.session.mode import Mode, mode
from trackside.session.open_runs import open_runs
from trackside.session.reporter import Reporter
from trackside.session.run import Run, silent_run


def attached(run_id: str, name: str) -> Run:
    """Return the run as a forked child has it: a producer of its own, which does not end it.

    In the process that it comes from, and where it was sent before, it is the run that is there.
    """
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
