import pytest

from support.append_server import AppendServer, StoredRun
from support.programs import Programs
from trackside.capture.masking import Masker
from trackside.session.recorder import Recorder
from trackside.spool.frames import Service
from trackside_protos.runs.v1.report_pb2 import RunReport
from trackside_protos.runs.v1.run_state_pb2 import RunState

pytestmark = pytest.mark.processes


def last_state(stored: StoredRun) -> tuple[int, int, int]:
    (*_, state) = [report.state for report in stored.reports if report.HasField("state")]
    return state.state, state.reason, state.exit_code


def test_a_forked_child_ends_by_the_signal_and_its_parent_goes_on(
    programs: Programs, append_server: AppendServer
) -> None:
    process = programs.start(
        """
        import multiprocessing, time, trackside
        def work():
            trackside.current_run().info("in the child")
            time.sleep(1000)
        with trackside.start_run("p", capture=False) as run:
            worker = multiprocessing.get_context("fork").Process(target=work)
            worker.start()
            input()
            worker.terminate()
            worker.join()
            print(worker.exitcode)
        """
    )

    append_server.wait_for(
        lambda: append_server.runs and append_server.only_run().messages == ["in the child"]
    )
    output, _ = process.communicate("\n", timeout=60)

    assert (process.returncode, output) == (0, "-15\n")
    assert last_state(append_server.only_run())[0] == RunState.RUN_STATE_COMPLETED


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


def test_a_fork_amid_the_work_of_another_thread_leaves_a_child_that_ends(
    programs: Programs,
) -> None:
    ended = programs.run(
        """
        import os, trackside
        with trackside.start_run("p", capture=False) as run:
            with run._reporter._pulse._stopped._cond:  # as that thread does at any moment
                pid = os.fork()
                if pid == 0:
                    run.finish()
                    os._exit(7)
            print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        """
    )

    assert (ended.code, ended.output) == (0, "7\n")


def test_threads_of_a_forked_child_that_speak_at_once_are_one_producer() -> None:
    woken: list[int] = []
    recorder = Recorder(Masker([]), lambda _: None)

    def wake() -> None:
        woken.append(1)
        if len(woken) == 1:
            another(RunReport())  # had looked up where to say it before this one began

    recorder.call_before_next(wake)
    another = recorder.add_report
    recorder.add_report(RunReport())

    assert len(woken) == 1
    assert len(recorder.drain()[Service.RUNS]) == 2


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
