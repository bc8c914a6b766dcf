import signal
import time
from pathlib import Path

import pytest

from support.append_server import AppendServer, StoredRun
from support.eventually import eventually
from support.programs import Programs
from trackside.delivery.leftovers import deliver_spools
from trackside.location import Location, discover
from trackside.spool.folder import spools
from trackside_protos.runs.v1.run_pb2 import ControlRequest
from trackside_protos.runs.v1.run_state_pb2 import RunAction, RunState, StateReason


def last_state(stored: StoredRun) -> tuple[int, int, int]:
    (*_, state) = [report.state for report in stored.reports if report.HasField("state")]
    return state.state, state.reason, state.exit_code


def is_running(process_id: int) -> bool:
    try:
        facts = Path(f"/proc/{process_id}/stat").read_text()
    except FileNotFoundError:
        return False
    return facts.rpartition(")")[2].split()[0] != "Z"


def is_closed(server: AppendServer) -> bool:
    return any(stored.producers_closed for stored in server.runs.values())


@pytest.mark.parametrize(
    ("ending", "expected"),
    [
        ("pass", (0, RunState.RUN_STATE_COMPLETED, StateReason.STATE_REASON_UNSPECIFIED)),
        ("sys.exit(0)", (0, RunState.RUN_STATE_COMPLETED, StateReason.STATE_REASON_UNSPECIFIED)),
        ("sys.exit(3)", (3, RunState.RUN_STATE_FAILED, StateReason.STATE_REASON_EXIT_CODE)),
        ("sys.exit('so')", (1, RunState.RUN_STATE_FAILED, StateReason.STATE_REASON_EXIT_CODE)),
        ("1 / 0", (1, RunState.RUN_STATE_FAILED, StateReason.STATE_REASON_UNCAUGHT_EXCEPTION)),
        (
            "raise KeyboardInterrupt",
            (
                -signal.SIGINT,
                RunState.RUN_STATE_TERMINATED,
                StateReason.STATE_REASON_INTERRUPTED,
            ),
        ),
        (
            "os.kill(os.getpid(), signal.SIGTERM); time.sleep(60)",
            (143, RunState.RUN_STATE_TERMINATED, StateReason.STATE_REASON_INTERRUPTED),
        ),
        (
            "[os.kill(os.getpid(), signal.SIGTERM) for _ in range(3)]; time.sleep(60)",
            (143, RunState.RUN_STATE_TERMINATED, StateReason.STATE_REASON_INTERRUPTED),
        ),
    ],
)
@pytest.mark.parametrize("form", ["with", "bare"])
def test_a_program_ends_with_its_own_code_and_its_run_says_how(
    programs: Programs,
    append_server: AppendServer,
    form: str,
    ending: str,
    expected: tuple[int, int, int],
) -> None:
    code, *state = expected
    begin = "with trackside.start_run('p') as run:" if form == "with" else "if True:"
    bare = "" if form == "with" else "run = trackside.start_run('p')"

    ended = programs.run(
        f"import os, signal, sys, time, trackside\n{bare}\n{begin}\n"
        f"    print('hello')\n    {ending}"
    )

    assert (ended.code, ended.output) == (code, "hello\n")
    stored = append_server.only_run()
    assert list(last_state(stored)[:2]) == state
    assert "hello" in stored.messages
    assert stored.producers_closed == 1


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_handler_of_the_program_gets_its_signal(
    programs: Programs, append_server: AppendServer, when: str
) -> None:
    install = "signal.signal(signal.SIGTERM, lambda *_: print('mine'))"
    before, after = (install, "") if when == "before" else ("", install)

    ended = programs.run(
        f"import os, signal, trackside\n{before}\n"
        f"with trackside.start_run('p', capture=False):\n    pass\n    {after}\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "print(signal.getsignal(signal.SIGTERM).__name__)"
    )

    assert (ended.code, ended.output, ended.errors) == (0, "mine\n<lambda>\n", "")
    assert last_state(append_server.only_run())[0] == RunState.RUN_STATE_COMPLETED


def test_after_the_run_the_signal_is_what_it_was(programs: Programs) -> None:
    ended = programs.run(
        """
        import signal, trackside
        with trackside.start_run("p", capture=False):
            inside = signal.getsignal(signal.SIGTERM)
        print(inside is signal.SIG_DFL, signal.getsignal(signal.SIGTERM) is signal.SIG_DFL)
        """
    )

    assert ended.output == "False True\n"


def test_a_program_that_goes_on_after_the_first_signal_ends_with_a_later_one(
    programs: Programs,
) -> None:
    process = programs.start(
        """
        import time, trackside
        with trackside.start_run("p", capture=False):
            try:
                print("up", flush=True)
                time.sleep(1000)
            finally:
                time.sleep(1000)
        """
    )
    assert process.stdout is not None
    process.stdout.readline()

    def ended() -> bool:
        process.terminate()
        return process.poll() is not None

    eventually(ended, within=20)
    process.communicate()
    assert process.returncode == -signal.SIGTERM


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


def test_output_of_children_is_captured_and_still_seen(
    programs: Programs, append_server: AppendServer
) -> None:
    ended = programs.run(
        """
        import os, subprocess, sys, trackside
        with trackside.start_run("p"):
            print("from python")
            os.write(2, b"to stderr\\n")
            subprocess.run(["sh", "-c", "echo from a child"])
            print("key is", os.environ["MY_API_KEY"])
        print("afterwards")
        """,
        MY_API_KEY="hunter22",
    )

    assert set(ended.output.splitlines()) == {
        "from python",
        "from a child",
        "key is hunter22",
        "afterwards",
    }
    assert ended.errors == "to stderr\n"
    entries = {(e.stream, e.message) for e in append_server.only_run().entries}
    assert entries == {
        ("stdout", "from python"),
        ("stdout", "from a child"),
        ("stdout", "key is ********"),
        ("stderr", "to stderr"),
    }


def test_what_logging_prints_is_one_entry_and_still_printed(
    programs: Programs, append_server: AppendServer
) -> None:
    ended = programs.run(
        """
        import logging, trackside
        with trackside.start_run("p"):
            logging.getLogger().warning("not configured")
            logging.basicConfig(level="INFO", format="%(levelname)s %(message)s")
            logging.getLogger("mine").info("twice")
            logging.getLogger("mine").info("twice")
            print("INFO twice")
        """
    )

    assert ended.errors.splitlines() == ["not configured", "INFO twice", "INFO twice"]
    entries = [(entry.stream, entry.message) for entry in append_server.only_run().entries]
    assert sorted(entries) == [
        ("log", "not configured"),
        ("log", "twice"),
        ("log", "twice"),
        ("stdout", "INFO twice"),
    ]


def test_without_a_server_a_program_ends_as_ever_with_one_warning(
    programs: Programs, append_server: AppendServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    append_server.stop()
    begun = time.monotonic()

    ended = programs.run(
        """
        import sys, trackside
        with trackside.start_run("p") as run:
            for number in range(100):
                run.log(x=number)
                print(number)
            sys.exit(5)
        """
    )

    assert ended.code == 5
    assert time.monotonic() - begun < 10
    assert len(ended.errors.splitlines()) == 1
    assert "`trackside sync`" in ended.errors
    append_server.start()
    for name, value in programs.environment().items():
        monkeypatch.setenv(name, value)
    report = deliver_spools(discover())
    stored = append_server.only_run()
    assert report.delivered == (stored.run.run_id,)
    assert stored.values("x") == [float(number) for number in range(100)]
    assert stored.messages == [str(number) for number in range(100)]
    assert last_state(stored) == (
        RunState.RUN_STATE_FAILED,
        StateReason.STATE_REASON_EXIT_CODE,
        5,
    )


def test_the_next_program_delivers_what_an_earlier_one_left(
    programs: Programs, append_server: AppendServer
) -> None:
    append_server.stop()
    programs.run("import trackside\nwith trackside.start_run('p') as run: run.log(x=1)")
    append_server.start()

    ended = programs.run(
        """
        import time, trackside
        from trackside.location import discover
        from trackside.spool.folder import spools
        with trackside.start_run("next") as run:
            while len(list(spools(discover().home))) > 1:
                time.sleep(0.02)
        """
    )

    assert (ended.code, ended.errors) == (0, "")
    first, second = sorted(append_server.runs.values(), key=lambda stored: stored.run.name)[::-1]
    assert [first.run.name, second.run.name] == ["p", "next"]
    assert first.values("x") == [1.0]


def test_a_program_that_is_killed_loses_at_most_its_last_moment(
    programs: Programs,
    append_server: AppendServer,
    location: Location,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    append_server.stop()
    process = programs.start(
        """
        import itertools, time, trackside
        run = trackside.start_run("p", capture=False)
        for number in itertools.count():
            run.log(x=number)
            run.info(number)
            print(number, flush=True)
            time.sleep(0.001)
        """
    )
    assert process.stdout is not None
    said = 0
    while said < 500:
        said = int(process.stdout.readline())
    process.kill()
    process.communicate()
    append_server.start()
    for name, value in programs.environment().items():
        monkeypatch.setenv(name, value)

    reports = [deliver_spools(discover()) for _ in range(2)]

    stored = append_server.only_run()
    count = len(stored.values("x"))
    assert stored.values("x") == [float(number) for number in range(count)]
    assert stored.messages[:count] == [str(number) for number in range(count)]
    assert count > 400
    assert last_state(stored)[:2] == (RunState.RUN_STATE_FAILED, StateReason.STATE_REASON_CRASHED)
    assert [bool(report.delivered) for report in reports] == [True, False]
    assert not list(spools(location.home))


def test_delivering_that_is_killed_over_and_over_repeats_nothing(
    programs: Programs, append_server: AppendServer
) -> None:
    programs.run(
        """
        import time, trackside
        with trackside.start_run("p", capture=False) as run:
            for number in range(30):
                run.log(x=number)
                run.info(number)
                time.sleep(0.06)
        """,
        TRACKSIDE_MODE="offline",
    )
    deliver = """
        from trackside.delivery.leftovers import deliver_spools
        from trackside.location import discover
        print("begun", flush=True)
        deliver_spools(discover())
        """

    for _ in range(10):
        process = programs.start(deliver)
        assert process.stdout is not None
        process.stdout.readline()
        enough = append_server.received_batches + 3
        append_server.wait_for(
            lambda more=enough: append_server.received_batches > more or is_closed(append_server)
        )
        process.kill()
        process.communicate()
    programs.run(deliver)

    stored = append_server.only_run()
    assert stored.values("x") == [float(number) for number in range(30)]
    assert stored.messages == [str(number) for number in range(30)]
    assert stored.producers_closed == 1


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

    assert (ended.code, ended.errors) == (0, "")
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
    append_server.wait_for(lambda: append_server.runs)
    append_server.wait_for(lambda: append_server.only_run().states)
    run_id = append_server.only_run().run.run_id

    request = ControlRequest(request_id="k1", action=RunAction.RUN_ACTION_KILL, requester="someone")
    append_server.control(run_id, request)
    _, errors = process.communicate(timeout=60)

    assert process.returncode == 137
    assert "killed by someone" in errors
    stored = append_server.only_run()
    assert last_state(stored) == (
        RunState.RUN_STATE_TERMINATED,
        StateReason.STATE_REASON_KILLED,
        137,
    )
    assert [r.control.step for r in stored.reports if r.HasField("control")] == [1, 2]
    assert stored.producers_closed == 1
    assert not is_running(child)
