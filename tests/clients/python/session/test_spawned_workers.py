import copy
import threading
from typing import Any

import pytest

import trackside
from support.append_server import AppendServer
from support.programs import Programs
from trackside.identifiers import new_identifier
from trackside.session import guests
from trackside.session.open_runs import open_runs
from trackside.session.reporter import Reporter
from trackside_protos.runs.v1.run_state_pb2 import RunState

pytestmark = pytest.mark.processes

WORKERS = """
import concurrent.futures, multiprocessing, sys, time, trackside

def work(run, number):
    assert trackside.current_run() is run
    with run.scope("part", total=1, context={"number": number}):
        run.log(square=number ** 2)
        run.info(f"worker {number}")
        print(f"printed by {number}", flush=True)
    return number

if __name__ == "__main__":
    context = multiprocessing.get_context(sys.argv[1])
    with trackside.start_run("p") as run:
        with concurrent.futures.ProcessPoolExecutor(2, context) as pool:
            assert list(pool.map(work, [run] * 10, range(10))) == list(range(10))
        worker = context.Process(target=work, args=(run, 10))
        worker.start()
        worker.join()
        assert worker.exitcode == 0
        run.info("parent")
"""


@pytest.mark.parametrize("method", ["spawn", "forkserver", "fork"])
def test_workers_that_are_given_the_run_report_to_it(
    programs: Programs, append_server: AppendServer, method: str
) -> None:
    program = programs.home / "workers.py"
    program.write_text(WORKERS)
    process = programs.start(
        "import runpy, sys; sys.argv.pop(0); runpy.run_path(sys.argv[0], run_name='__main__')",
        arguments=[str(program), method],
    )
    output, errors = process.communicate(timeout=60)

    assert (process.returncode, errors) == (0, "")
    stored = append_server.only_run()
    append_server.wait_for(lambda: len(stored.values("square")) == 11)
    append_server.wait_for(lambda: [e.stream for e in stored.entries].count("log") == 12)
    assert sorted(stored.values("square")) == [number**2 for number in range(11)]
    said = {e.message: dict(e.context) for e in stored.entries if e.stream == "log"}
    assert said["worker 3"] == {"part": "1", "number": "3"}
    assert len(said) == 12
    assert sorted(output.splitlines()) == sorted(
        e.message for e in stored.entries if e.stream == "stdout"
    )
    append_server.wait_for(lambda: stored.producers_closed > 1)
    assert stored.states == [RunState.RUN_STATE_RUNNING, RunState.RUN_STATE_COMPLETED]


@pytest.mark.usefixtures("reporting")
def test_a_copy_of_a_run_is_the_run() -> None:
    with trackside.start_run(capture=False) as run:
        assert copy.deepcopy({"run": run})["run"] is run


@pytest.mark.usefixtures("reporting")
def test_threads_that_are_sent_a_run_at_once_have_the_same_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run_id, attached = new_identifier(), list[trackside.Run]()
    another = threading.Thread(target=lambda: attached.append(guests.attached(run_id, "p")))

    def begin_late(*arguments: Any, **named: Any) -> Reporter:
        if another.ident is None:
            another.start()
            another.join(0.2)  # ends before, unless it has to wait
        return Reporter(*arguments, **named)

    monkeypatch.setattr("trackside.session.guests.Reporter", begin_late)
    attached.append(guests.attached(run_id, "p"))
    another.join()

    first, second = attached
    assert first is second
    open_runs.discard(first)


def test_a_worker_of_a_disabled_run_does_nothing(
    programs: Programs, append_server: AppendServer
) -> None:
    ended = programs.run(
        """
        import pickle, trackside
        with trackside.start_run("p") as run:
            again = pickle.loads(pickle.dumps(run))
            again.info("nothing")
            print(again.run_id == run.run_id)
        """,
        TRACKSIDE_MODE="disabled",
    )

    assert (ended.output, append_server.runs) == ("True\n", {})
