import pytest

from support.append_server import AppendServer, StoredRun
from support.programs import Programs, is_running
from trackside_protos.runs.v1.run_pb2 import ControlRequest
from trackside_protos.runs.v1.run_state_pb2 import RunAction, RunState, StateReason

pytestmark = pytest.mark.processes


def last_state(stored: StoredRun) -> tuple[int, int, int]:
    (*_, state) = [report.state for report in stored.reports if report.HasField("state")]
    return state.state, state.reason, state.exit_code


def kill(server: AppendServer) -> None:
    server.wait_for(lambda: server.runs and server.only_run().states)
    request = ControlRequest(request_id="k1", action=RunAction.RUN_ACTION_KILL, requester="someone")
    server.control(server.only_run().run.run_id, request)


def steps(stored: StoredRun) -> list[int]:
    return [report.control.step for report in stored.reports if report.HasField("control")]


def test_a_kill_ends_the_program_and_its_children_and_says_so(
    programs: Programs, append_server: AppendServer
) -> None:
    process = programs.start(
        """
        import subprocess, time, trackside
        with trackside.start_run("p", capture=False) as run:
            child = subprocess.Popen(["sleep", "1000"])
            print(child.pid, flush=True)
            time.sleep(1000)
        """
    )
    assert process.stdout is not None
    child = int(process.stdout.readline())

    kill(append_server)
    _, errors = process.communicate(timeout=60)

    assert process.returncode == 137
    assert "killed by someone" in errors
    stored = append_server.only_run()
    assert last_state(stored) == (
        RunState.RUN_STATE_TERMINATED,
        StateReason.STATE_REASON_KILLED,
        137,
    )
    assert steps(stored) == [1, 2]
    assert stored.producers_closed == 1
    assert not is_running(child)


def test_a_program_that_ends_meanwhile_waits_for_the_last_words_of_the_kill(
    programs: Programs, append_server: AppendServer
) -> None:
    process = programs.start(
        """
        import threading, time, trackside
        run = trackside.start_run("p", capture=False)
        start, went_on = threading.Thread.start, threading.Event()
        def start_and_dawdle(thread):
            start(thread)
            if thread.name == "trackside-kill":
                went_on.wait(2)  # who has started it comes no further, and the program does
        threading.Thread.start = start_and_dawdle
        while not run._ending.has_begun:
            time.sleep(0.001)
        run.finish()
        went_on.set()
        print("went on", flush=True)
        """
    )

    kill(append_server)
    output, _ = process.communicate(timeout=60)

    assert (process.returncode, output) == (137, "")
    assert steps(append_server.only_run()) == [1, 2]


def test_what_a_child_bears_before_it_dies_is_ended_too(programs: Programs) -> None:
    ended = programs.run(
        """
        import subprocess
        from trackside.session import processes
        child = subprocess.Popen(
            ["sh", "-c", "read word; sleep 1000 > /dev/null 2>&1 & echo $!; wait"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        listed, born = processes.descendants, []
        def list_and_let_bear(root):
            found = listed(root)
            if not born:
                child.stdin.write("now\\n")
                child.stdin.flush()
                born.append(int(child.stdout.readline()))
            return found
        processes.descendants = list_and_let_bear
        print(processes.kill_children(), born[0])
        """
    )

    none_left, newborn = ended.output.split()
    assert none_left == "True"
    assert not is_running(int(newborn))


def test_a_program_that_is_killed_starts_nothing_more(
    programs: Programs, append_server: AppendServer
) -> None:
    process = programs.start(
        """
        import subprocess, threading, time, trackside
        run = trackside.start_run("p", capture=False)
        is_killed, has_started = threading.Event(), threading.Event()
        flush = run._reporter.flush
        def flush_while_the_program_goes_on(timeout):
            is_killed.set()
            has_started.wait(1)
            return flush(timeout)
        run._reporter.flush = flush_while_the_program_goes_on
        is_killed.wait()
        child = subprocess.Popen(["sleep", "1000"], stdout=subprocess.DEVNULL,
                                 stderr=subprocess.DEVNULL)
        print(child.pid, flush=True)
        has_started.set()
        time.sleep(1000)
        """
    )

    kill(append_server)
    output, _ = process.communicate(timeout=60)

    assert (process.returncode, output) == (137, "")
