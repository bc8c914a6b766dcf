from support.append_server import AppendServer, StoredRun
from support.programs import Programs, is_running
from trackside_protos.runs.v1.run_pb2 import ControlRequest
from trackside_protos.runs.v1.run_state_pb2 import RunAction, RunState, StateReason


def last_state(stored: StoredRun) -> tuple[int, int, int]:
    (*_, state) = [report.state for report in stored.reports if report.HasField("state")]
    return state.state, state.reason, state.exit_code


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
