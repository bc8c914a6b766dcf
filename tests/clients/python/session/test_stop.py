import signal
import subprocess

import pytest

from support.append_server import AppendServer, StoredRun
from support.programs import Programs, is_running
from trackside_protos.runs.v1.report_pb2 import ControlStep
from trackside_protos.runs.v1.run_pb2 import ControlRequest
from trackside_protos.runs.v1.run_state_pb2 import RunAction, RunState, StateReason

pytestmark = pytest.mark.processes

ACKNOWLEDGED = ControlStep.CONTROL_STEP_ACKNOWLEDGED
CONFIRMED = ControlStep.CONTROL_STEP_CONFIRMED
ESCALATED = ControlStep.CONTROL_STEP_ESCALATED


def ask(
    server: AppendServer,
    action: RunAction.ValueType,
    *,
    grace: float | None = None,
    request_id: str = "s1",
) -> None:
    request = ControlRequest(request_id=request_id, action=action, requester="someone")
    if grace is not None:
        request.grace_duration.FromMilliseconds(int(grace * 1000))
    server.control(server.only_run().run.run_id, request)


def stop(server: AppendServer, *, grace: float | None = None, request_id: str = "s1") -> None:
    ask(server, RunAction.RUN_ACTION_STOP, grace=grace, request_id=request_id)


def wait_up(process: subprocess.Popen[str], server: AppendServer) -> None:
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    server.wait_for(lambda: server.runs and server.only_run().states)


def steps(stored: StoredRun) -> list[tuple[str, int]]:
    controls = [report.control for report in stored.reports if report.HasField("control")]
    return [(control.request_id, control.step) for control in controls]


def last_state(stored: StoredRun) -> tuple[int, int, str]:
    (*_, state) = [report.state for report in stored.reports if report.HasField("state")]
    return state.state, state.reason, state.message


STOPPED = (
    RunState.RUN_STATE_TERMINATED,
    StateReason.STATE_REASON_STOPPED,
    "Stopped by someone.",
)

WAITS = {
    "sleeps": "time.sleep(1000)",
    "waits for a child": "subprocess.run(['sleep', '1000'])",
    "waits for a lock": "threading.Event().wait()",
    "computes": "while True: pass",
    "is asynchronous": "asyncio.run(asyncio.sleep(1000))",
    "reads": "os.read(os.pipe()[0], 1)",
}


@pytest.mark.parametrize("form", ["with", "bare"])
@pytest.mark.parametrize("wait", WAITS.values(), ids=WAITS.keys())
def test_a_stop_interrupts_the_program_whatever_it_does(
    programs: Programs, append_server: AppendServer, wait: str, form: str
) -> None:
    begin = "with trackside.start_run('p', capture=False):"
    begin = begin if form == "with" else f"{begin[5:-1]}\nif True:"
    process = programs.start(
        "import asyncio, os, subprocess, threading, time, trackside\n"
        f"{begin}\n    print('up', flush=True)\n    {wait}"
    )
    wait_up(process, append_server)

    stop(append_server)
    _, errors = process.communicate(timeout=60)

    assert process.returncode == -signal.SIGINT
    assert "trackside: this run was stopped by someone" in errors
    assert "KeyboardInterrupt" in errors
    stored = append_server.only_run()
    assert last_state(stored) == STOPPED
    assert steps(stored) == [("s1", ACKNOWLEDGED), ("s1", CONFIRMED)]
    assert stored.kinds()[-1] == "closed"


def test_a_program_may_clean_up_and_go_on_after_its_run(
    programs: Programs, append_server: AppendServer
) -> None:
    process = programs.start(
        """
        import time, trackside
        try:
            with trackside.start_run("p", capture=False) as run:
                try:
                    print("up", flush=True)
                    time.sleep(1000)
                finally:
                    run.info("cleaned up")
        except KeyboardInterrupt:
            print("went on")
        """
    )
    wait_up(process, append_server)

    stop(append_server)
    output, _ = process.communicate(timeout=60)

    assert (process.returncode, output) == (0, "went on\n")
    assert append_server.only_run().messages == ["cleaned up"]


def test_a_stop_that_is_sent_again_interrupts_once(
    programs: Programs, append_server: AppendServer
) -> None:
    process = programs.start(
        """
        import time, trackside
        with trackside.start_run("p", capture=False) as run:
            try:
                print("up", flush=True)
                time.sleep(1000)
            except KeyboardInterrupt:
                print("once", flush=True)
                time.sleep(0.5)
        """
    )
    wait_up(process, append_server)

    for _ in range(3):
        stop(append_server)
    output, _ = process.communicate(timeout=60)

    assert (process.returncode, output) == (0, "once\n")
    assert steps(append_server.only_run()) == [("s1", ACKNOWLEDGED), ("s1", CONFIRMED)]


def test_a_handler_of_the_program_gets_the_interrupt(
    programs: Programs, append_server: AppendServer
) -> None:
    process = programs.start(
        """
        import signal, time, trackside
        wanted = []
        signal.signal(signal.SIGINT, lambda *_: wanted.append(1))
        with trackside.start_run("p", capture=False):
            print("up", flush=True)
            while not wanted:
                time.sleep(0.01)
            print("my own way")
        """
    )
    wait_up(process, append_server)

    stop(append_server)
    output, _ = process.communicate(timeout=60)

    assert (process.returncode, output) == (0, "my own way\n")
    stored = append_server.only_run()
    assert last_state(stored)[0] == RunState.RUN_STATE_COMPLETED
    assert steps(stored)[-1] == ("s1", CONFIRMED)


def test_a_program_that_ignores_interrupts_gets_the_other_signal(
    programs: Programs, append_server: AppendServer
) -> None:
    process = programs.start(
        """
        import signal, time, trackside
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # as of what a shell runs in the background
        with trackside.start_run("p", capture=False):
            print("up", flush=True)
            time.sleep(1000)
        """
    )
    wait_up(process, append_server)

    stop(append_server)
    process.communicate(timeout=60)

    assert process.returncode == 143
    assert last_state(append_server.only_run()) == STOPPED


def test_after_the_grace_time_the_program_is_killed(
    programs: Programs, append_server: AppendServer
) -> None:
    process = programs.start(
        """
        import time, trackside
        with trackside.start_run("p", capture=False):
            while True:
                try:
                    print("up", flush=True)
                    time.sleep(1000)
                except KeyboardInterrupt:
                    pass
        """
    )
    wait_up(process, append_server)

    stop(append_server, grace=0.3)
    process.communicate(timeout=60)

    assert process.returncode == 137
    stored = append_server.only_run()
    assert last_state(stored)[:2] == STOPPED[:2]
    assert [step for _, step in steps(stored)] == [ACKNOWLEDGED, ESCALATED, CONFIRMED]


def test_a_kill_overtakes_a_stop_and_both_are_confirmed(
    programs: Programs, append_server: AppendServer
) -> None:
    process = programs.start(
        """
        import time, trackside
        with trackside.start_run("p", capture=False):
            while True:
                try:
                    print("up", flush=True)
                    time.sleep(1000)
                except KeyboardInterrupt:
                    pass
        """
    )
    wait_up(process, append_server)

    stop(append_server, grace=1000)
    append_server.wait_for(lambda: steps(append_server.only_run()))
    ask(append_server, RunAction.RUN_ACTION_KILL, request_id="k1")
    process.communicate(timeout=60)

    assert process.returncode == 137
    stored = append_server.only_run()
    assert last_state(stored)[:2] == (STOPPED[0], StateReason.STATE_REASON_KILLED)
    assert sorted(steps(stored)) == [
        ("k1", ACKNOWLEDGED),
        ("k1", CONFIRMED),
        ("s1", ACKNOWLEDGED),
        ("s1", CONFIRMED),
    ]


def test_a_stop_that_comes_while_the_run_ends_interrupts_nothing(
    programs: Programs, append_server: AppendServer
) -> None:
    process = programs.start(
        """
        import os, threading, time, trackside
        run = trackside.start_run("p", capture=False)
        held = os.path.join(os.environ["TRACKSIDE_HOME"], "held")
        os.mkfifo(held)
        run._reporter.errands.add(lambda: open(held).read())  # what the end waits for
        run.log(x=1)
        run.flush()
        def tell():
            while not run._ending.has_begun:
                time.sleep(0.001)
            print("up", flush=True)
        threading.Thread(target=tell, daemon=True).start()
        run.finish()
        print("finished")
        """
    )
    wait_up(process, append_server)

    stop(append_server, grace=0.1)
    (programs.home / "held").write_text("")
    output, _ = process.communicate(timeout=60)

    assert (process.returncode, output) == (0, "finished\n")
    assert last_state(append_server.only_run())[0] == RunState.RUN_STATE_COMPLETED


LEAVES = """
import subprocess, time, trackside
with trackside.start_run('p', capture=False):
    child = subprocess.Popen(['sh', '-c', {script!r}], stdout=subprocess.PIPE, text=True,
                             start_new_session=True)
    child.stdout.readline()
    print('up', flush=True)
    print(child.pid, flush=True)
    time.sleep(1000)
"""


def child_of(process: subprocess.Popen[str]) -> int:
    assert process.stdout is not None
    return int(process.stdout.readline())


@pytest.mark.parametrize(
    ("script", "grace"),
    [
        ("echo ready; exec sleep 1000", 60.0),
        ("trap '' TERM INT; echo ready; while :; do sleep 0.1; done", 0.5),
    ],
    ids=["ends when told", "ignores it"],
)
def test_children_that_a_stopped_program_leaves_are_ended_before_the_proof(
    programs: Programs, append_server: AppendServer, script: str, grace: float
) -> None:
    process = programs.start(LEAVES.format(script=script))
    wait_up(process, append_server)
    child = child_of(process)

    stop(append_server, grace=grace)
    process.communicate(timeout=60)

    stored = append_server.only_run()
    assert not is_running(child)
    assert last_state(stored) == STOPPED
    assert steps(stored) == [("s1", ACKNOWLEDGED), ("s1", CONFIRMED)]


def test_workers_of_a_stopped_program_are_left_to_python_which_ends_them(
    programs: Programs, append_server: AppendServer
) -> None:
    process = programs.start(
        """
        import multiprocessing, time, trackside
        with multiprocessing.get_context("fork").Pool(2) as pool:
            pool.map(abs, range(2))
            with trackside.start_run("p", capture=False):
                print("up", flush=True)
                print(multiprocessing.active_children()[0].pid, flush=True)
                time.sleep(1000)
        """
    )
    wait_up(process, append_server)
    worker = child_of(process)

    stop(append_server, grace=60)
    process.communicate(timeout=60)

    stored = append_server.only_run()
    assert not is_running(worker)
    assert steps(stored) == [("s1", ACKNOWLEDGED), ("s1", CONFIRMED)]


def test_children_are_left_to_another_run_that_is_open_in_the_program(
    programs: Programs, append_server: AppendServer
) -> None:
    process = programs.start(
        """
        import subprocess, time, trackside
        other = trackside.start_run("other", capture=False)
        child = subprocess.Popen(["sleep", "1000"])
        try:
            with trackside.start_run("p", capture=False):
                print("up", flush=True)
                time.sleep(1000)
        except KeyboardInterrupt:
            print(child.poll())
            child.kill()
        """
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    append_server.wait_for(
        lambda: len(append_server.runs) == 2 and all(r.states for r in append_server.runs.values())
    )
    (run_id,) = (key for key, stored in append_server.runs.items() if stored.run.name == "p")

    append_server.control(run_id, ControlRequest(request_id="s1", action=RunAction.RUN_ACTION_STOP))
    output, _ = process.communicate(timeout=60)

    assert output == "None\n"
    assert steps(append_server.runs[run_id])[-1] == ("s1", CONFIRMED)
