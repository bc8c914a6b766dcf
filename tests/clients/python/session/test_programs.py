import signal

import pytest

from support.append_server import AppendServer, StoredRun
from support.eventually import eventually
from support.programs import Programs
from trackside_protos.runs.v1.run_state_pb2 import RunState, StateReason

pytestmark = pytest.mark.processes


def last_state(stored: StoredRun) -> tuple[int, int, int]:
    (*_, state) = [report.state for report in stored.reports if report.HasField("state")]
    return state.state, state.reason, state.exit_code


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
            "try: raise KeyboardInterrupt\n    except KeyboardInterrupt: sys.exit(1)",
            (1, RunState.RUN_STATE_TERMINATED, StateReason.STATE_REASON_INTERRUPTED),
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

    eventually(ended)
    process.communicate()
    assert process.returncode == -signal.SIGTERM
