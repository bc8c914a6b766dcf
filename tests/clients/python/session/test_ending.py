import signal

import pytest

from support.append_server import AppendServer
from support.programs import Programs
from trackside.delivery.leftovers import deliver_spools
from trackside.location import Location
from trackside_protos.runs.v1.run_state_pb2 import RunState, StateReason

pytestmark = pytest.mark.processes


@pytest.mark.parametrize(
    ("number", "codes"),
    # Python forgets that it was interrupted when another thread imports something just then.
    [(signal.SIGINT, {-signal.SIGINT, 1}), (signal.SIGTERM, {143})],
)
def test_who_interrupts_the_end_of_a_run_still_finds_how_it_ended(
    programs: Programs,
    append_server: AppendServer,
    location: Location,
    number: signal.Signals,
    codes: set[int],
) -> None:
    process = programs.start(
        """
        import os, trackside
        run = trackside.start_run("p", capture=False)
        held = os.path.join(os.environ["TRACKSIDE_HOME"], "held")
        os.mkfifo(held)
        run._reporter.errands.add(lambda: open(held).read())  # what the end waits for
        finish = run._reporter.errands.finish
        def tell_and_finish(timeout):
            print("up", flush=True)
            finish(timeout)
        run._reporter.errands.finish = tell_and_finish
        run.finish()
        """
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"

    process.send_signal(number)
    process.communicate(timeout=60)

    deliver_spools(location)
    assert process.returncode in codes
    assert append_server.only_run().states[-1] == RunState.RUN_STATE_COMPLETED
    assert append_server.only_run().kinds()[-1] == "closed"


def test_an_interrupt_in_the_moment_in_which_the_end_begins_is_how_the_run_ends(
    programs: Programs, append_server: AppendServer
) -> None:
    ended = programs.run(
        """
        import trackside
        run = trackside.start_run("p", capture=False)
        begin = run._ending.begin
        def begin_and_see_an_interrupt():
            run._ending.begin = begin
            begin()
            raise KeyboardInterrupt
        run._ending.begin = begin_and_see_an_interrupt
        run.finish()
        """
    )

    assert ended.code == -signal.SIGINT
    (*_, last) = [r.state for r in append_server.only_run().reports if r.HasField("state")]
    assert last.state == RunState.RUN_STATE_TERMINATED
    assert last.reason == StateReason.STATE_REASON_INTERRUPTED
