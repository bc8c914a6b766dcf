import pytest

from support.append_server import AppendServer, StoredRun
from support.programs import Programs
from trackside_protos.runs.v1.run_state_pb2 import RunState

pytestmark = pytest.mark.processes


def last_state(stored: StoredRun) -> tuple[int, int, int]:
    (*_, state) = [report.state for report in stored.reports if report.HasField("state")]
    return state.state, state.reason, state.exit_code


def test_a_forked_child_ends_by_the_signal_and_its_parent_goes_on(
    programs: Programs, append_server: AppendServer
) -> None:
    ended = programs.run(
        """
        import multiprocessing, time, trackside
        def work():
            trackside.current_run().info("in the child")
            time.sleep(1000)
        with trackside.start_run("p", capture=False) as run:
            worker = multiprocessing.get_context("fork").Process(target=work)
            worker.start()
            time.sleep(0.5)
            worker.terminate()
            worker.join()
            print(worker.exitcode)
        """
    )

    assert (ended.code, ended.output) == (0, "-15\n")
    stored = append_server.only_run()
    append_server.wait_for(lambda: stored.messages == ["in the child"])
    assert last_state(stored)[0] == RunState.RUN_STATE_COMPLETED


def test_a_forked_child_is_a_producer_of_its_own(
    programs: Programs, append_server: AppendServer
) -> None:
    ended = programs.run(
        """
        import os, time, trackside
        with trackside.start_run("p", capture=False) as run:
            run.log(parent=1)
            run.info("before")
            time.sleep(0.3)
            pid = os.fork()
            if pid == 0:
                run.log(child=1)
                run.info("in the child")
                run.finish()
                os._exit(0)
            os.waitpid(pid, 0)
            run.log(parent=2)
        """
    )

    assert (ended.code, _ours(ended.errors)) == (0, [])
    append_server.wait_for(lambda: append_server.only_run().producers_closed == 2)
    stored = append_server.only_run()
    assert (stored.values("parent"), stored.values("child")) == ([1.0, 2.0], [1.0])
    assert sorted(stored.messages) == ["before", "in the child"]
    assert stored.states == [RunState.RUN_STATE_RUNNING, RunState.RUN_STATE_COMPLETED]


def test_workers_of_multiprocessing_report_too(
    programs: Programs, append_server: AppendServer
) -> None:
    ended = programs.run(
        """
        import multiprocessing, time, trackside
        def work(number):
            trackside.current_run().log(worker=number)
        if __name__ == "__main__":
            with trackside.start_run("p", capture=False) as run:
                time.sleep(0.2)
                context = multiprocessing.get_context("fork")
                workers = [context.Process(target=work, args=(n,)) for n in range(4)]
                for worker in workers: worker.start()
                for worker in workers: worker.join()
        """
    )

    assert (ended.code, ended.errors) == (0, "")
    append_server.wait_for(lambda: len(append_server.only_run().values("worker")) == 4)
    assert sorted(append_server.only_run().values("worker")) == [0, 1, 2, 3]


def _ours(errors: str) -> list[str]:
    """Return what stands on a program's standard error but Python's own word on forks."""
    is_pythons = False
    kept: list[str] = []
    for line in errors.splitlines():
        is_pythons = "DeprecationWarning" in line or (is_pythons and line.startswith("  "))
        kept += [] if is_pythons else [line]
    return kept
