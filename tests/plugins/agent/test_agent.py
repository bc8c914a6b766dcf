"""A whole agent with the local runner, against a server that forgives nothing."""

import signal
import stat
import time
from pathlib import Path

import pytest

from support.agents import AgentProcess
from support.control_room import ControlRoom, Told
from trackside_agent.detached import find_running
from trackside_agent.run_folder import RunFolder, StoredCommand
from trackside_protos.runs.v1.run_state_pb2 import RunState, StateReason
from trackside_runner_local.processes import Process, identify, is_alive, marked, send

pytestmark = pytest.mark.end_to_end

COUNTS = """
import os, sys, time
for number in range(int(sys.argv[1])):
    print(number, flush=True)
    if number in (200, 400):
        print("x" * 100_000 + str(number), file=sys.stderr, flush=True)
    while number == 500 and not os.path.exists(sys.argv[2]):
        time.sleep(0.01)
sys.exit(7)
"""
WAITS = "import time; print('up', flush=True); time.sleep(600)"
RESISTS = """
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
for _ in range(3):
    if os.fork() == 0:
        os.setsid()
        if os.fork():
            os._exit(0)
        break
print("up", flush=True)
time.sleep(600)
"""


def ending(told: Told) -> tuple[str, str]:
    assert told.ending is not None
    state, reason = told.ending.state, told.ending.reason
    return (
        RunState.Name(state).removeprefix("RUN_STATE_"),
        StateReason.Name(reason).removeprefix("STATE_REASON_"),
    )


def processes_of(run_id: str) -> set[Process]:
    return marked(f"TRACKSIDE_RUN_ID={run_id}")


def assert_counted(told: Told, count: int) -> None:
    assert told.text() == "".join(f"{number}\n" for number in range(count))
    long = "".join("x" * 100_000 + f"{number}\n" for number in (200, 400) if number < count)
    assert told.text("stderr") == long


class TestLaunching:
    def test_run_is_launched_and_completes(self, agent: AgentProcess, room: ControlRoom) -> None:
        agent.start()
        run_id = agent.run("print('hello')")

        told = room.ended(run_id)

        assert told.text() == "hello\n"
        assert [RunState.Name(state.state) for state in told.states] == [
            "RUN_STATE_RUNNING",
            "RUN_STATE_COMPLETED",
        ]
        assert told.ending is not None
        assert told.ending.exit_code == 0
        assert ending(told) == ("COMPLETED", "UNSPECIFIED")

    def test_agent_says_who_it_is(self, agent: AgentProcess, room: ControlRoom) -> None:
        agent.start()
        room.wait(lambda: room.renewals)

        (hello,) = room.hellos
        assert hello.agent_id.startswith("agent-")
        assert [(offer.name, offer.capacity) for offer in hello.runners] == [("local", 8)]
        assert room.renewals[0].free_slots == {"local": 8}
        assert room.tokens == {"Bearer token-of-the-agent"}

    def test_slots_are_taken_and_given_back(self, agent: AgentProcess, room: ControlRoom) -> None:
        agent.start()
        run_id = agent.run(WAITS)
        room.wait(lambda: room.renewals and room.renewals[-1].free_slots["local"] == 7)

        room.kill(run_id, "request-1")

        room.wait(lambda: room.renewals[-1].free_slots["local"] == 8)

    def test_machine_and_process_are_reported(self, agent: AgentProcess, room: ControlRoom) -> None:
        agent.start()
        told = room.ended(agent.run("import os; print(os.getpid())"))

        (machine,) = [
            report.provenance.machine for report in told.reports if report.HasField("provenance")
        ]
        assert machine.process_id == int(told.text())
        assert machine.cpu_count > 0

    def test_parameters_are_put_into_the_command(
        self, agent: AgentProcess, room: ControlRoom
    ) -> None:
        agent.start()
        run_id = agent.run(
            "import sys; print(sys.argv[1:])",
            "--epsilon={epsilon}",
            "{name}",
            "{unknown}",
            "{print $1}",
            parameters={"epsilon": 0.02, "name": "{epsilon} x"},
        )

        assert room.ended(run_id).text() == (
            "['--epsilon=0.02', '{epsilon} x', '{unknown}', '{print $1}']\n"
        )

    def test_program_gets_its_own_token_which_is_masked_in_its_log(
        self, agent: AgentProcess, room: ControlRoom
    ) -> None:
        agent.start()
        run_id = agent.run(
            "import os\n"
            "token = os.environ['TRACKSIDE_TOKEN']\n"
            "print(token, token[::-1], os.environ['DB_PASSWORD'], os.environ['PLAIN'])",
            environment={"DB_PASSWORD": "correct horse", "PLAIN": "battery staple"},
        )

        mirrored = f"reporter-of-{run_id}"[::-1]
        assert room.ended(run_id).text() == f"*** {mirrored} *** battery staple\n"

    @pytest.mark.parametrize(
        ("command", "part"),
        [
            (["no-such-program"], "was not found on PATH"),
            (["/etc/passwd"], "is not executable"),
            ([], "the command is empty"),
        ],
    )
    def test_what_cannot_be_started_is_refused(
        self, agent: AgentProcess, room: ControlRoom, command: list[str], part: str
    ) -> None:
        agent.start()
        run = agent.new_run(command)
        room.assign(run)

        told = room.ended(run.run_id)

        assert ending(told) == ("FAILED", "LAUNCH_REFUSED")
        assert told.ending is not None
        assert part in told.ending.message
        assert [report.error.kind for report in told.reports if report.HasField("error")] == [
            "LaunchRefused"
        ]

    def test_runner_that_is_not_offered_is_refused(
        self, agent: AgentProcess, room: ControlRoom
    ) -> None:
        agent.start()
        run = agent.new_run(["true"], runner="slurm")
        room.assign(run)

        assert ending(room.ended(run.run_id)) == ("FAILED", "LAUNCH_REFUSED")

    def test_second_assignment_launches_nothing(
        self, agent: AgentProcess, room: ControlRoom, tmp_path: Path
    ) -> None:
        starts = tmp_path / "starts"
        agent.start()
        run_id = agent.run("import sys; open(sys.argv[1], 'a').write('x')", starts)
        room.ended(run_id)
        room.wait(lambda: not agent.folder(run_id).exists())

        room.assign_again(run_id)
        agent.kill()
        agent.start()
        room.wait(lambda: room.is_stored(run_id))
        other = agent.run("print()")
        room.ended(other)

        assert starts.read_text() == "x"


class TestEnding:
    @pytest.mark.parametrize("code", [1, 7, 255])
    def test_exit_code_fails_the_run(
        self, agent: AgentProcess, room: ControlRoom, code: int
    ) -> None:
        agent.start()
        told = room.ended(agent.run(f"raise SystemExit({code})"))

        assert ending(told) == ("FAILED", "EXIT_CODE")
        assert told.ending is not None
        assert told.ending.exit_code == code

    def test_signal_fails_the_run(self, agent: AgentProcess, room: ControlRoom) -> None:
        agent.start()
        told = room.ended(agent.run("import os; os.kill(os.getpid(), 11)"))

        assert ending(told) == ("FAILED", "SIGNAL")
        assert told.ending is not None
        assert told.ending.exit_signal == signal.SIGSEGV

    def test_process_gone_without_a_trace_crashed(
        self, agent: AgentProcess, room: ControlRoom
    ) -> None:
        agent.start()
        run_id = agent.run(WAITS)
        room.wait(lambda: room.told(run_id).text() == "up\n")

        agent.kill()
        for process in (*agent.supervisors(run_id), *processes_of(run_id)):
            send(process, signal.SIGKILL)
        room.wait(lambda: not processes_of(run_id))
        agent.start()

        assert ending(room.ended(run_id)) in [("FAILED", "CRASHED"), ("FAILED", "SIGNAL")]

    def test_producer_closes_last_with_its_counts(
        self, agent: AgentProcess, room: ControlRoom
    ) -> None:
        agent.start()
        told = room.ended(agent.run("print('one')"))

        assert told.reports[-1].HasField("closed")
        assert told.reports[-1].closed.logs_batch_count == 1

    def test_everything_is_forgotten_when_delivered(
        self, agent: AgentProcess, room: ControlRoom
    ) -> None:
        agent.start()
        run_id = agent.run("print('one')")
        room.ended(run_id)

        room.wait(lambda: not agent.folder(run_id).exists())

        assert not (agent.home / "spool" / run_id).exists()


class TestKilling:
    def test_kill_is_acknowledged_done_and_confirmed(
        self, agent: AgentProcess, room: ControlRoom
    ) -> None:
        agent.start()
        run_id = agent.run(RESISTS)
        room.wait(lambda: room.told(run_id).text().count("up") == 4)

        room.kill(run_id, "request-1")
        told = room.ended(run_id)

        assert processes_of(run_id) == set()
        assert ending(told) == ("TERMINATED", "KILLED")
        assert told.steps("request-1") == ["ACKNOWLEDGED", "CONFIRMED"]
        assert not told.found_nothing("request-1")

    def test_stored_kill_is_done_by_the_next_agent(
        self, agent: AgentProcess, room: ControlRoom
    ) -> None:
        agent.start()
        run_id = agent.run(WAITS)
        room.wait(lambda: room.told(run_id).text() == "up\n")
        agent.kill()
        command = StoredCommand("request-1", is_kill=True, grace_seconds=0.0, time=time.time())
        RunFolder(agent.folder(run_id)).store_command(command)

        agent.start()
        told = room.ended(run_id)

        assert ending(told) == ("TERMINATED", "KILLED")
        assert told.steps("request-1") == ["ACKNOWLEDGED", "CONFIRMED"]
        assert processes_of(run_id) == set()

    def test_kill_reaches_a_run_whose_supervisor_is_gone(
        self, agent: AgentProcess, room: ControlRoom
    ) -> None:
        agent.start()
        run_id = agent.run(RESISTS)
        room.wait(lambda: room.told(run_id).text().count("up") == 4)
        for supervisor in agent.supervisors(run_id):
            send(supervisor, signal.SIGKILL)

        room.kill(run_id, "request-1")

        assert ending(room.ended(run_id)) == ("TERMINATED", "KILLED")
        assert processes_of(run_id) == set()


class TestSurviving:
    @pytest.mark.parametrize("round_number", range(3))
    def test_killed_agent_loses_and_repeats_nothing(
        self, agent: AgentProcess, room: ControlRoom, tmp_path: Path, round_number: int
    ) -> None:
        go = tmp_path / "go"
        agent.start()
        run_id = agent.run(COUNTS, 1000, go)
        lines = 100 + 150 * round_number
        room.wait(lambda: len(room.told(run_id).entries) > lines)
        agent.kill()
        agent.start()
        room.wait(lambda: room.told(run_id).text().endswith("\n500\n"))
        agent.kill()
        go.touch()
        agent.start()

        told = room.ended(run_id)

        assert_counted(told, 1000)
        assert ending(told) == ("FAILED", "EXIT_CODE")
        assert told.ending is not None
        assert told.ending.exit_code == 7
        assert len(told.states) == 2

    def test_agent_killed_at_any_time_loses_and_repeats_nothing(
        self, agent: AgentProcess, room: ControlRoom, tmp_path: Path
    ) -> None:
        (tmp_path / "go").touch()
        agent.start()
        program = COUNTS.replace(
            "print(number, flush=True)", "print(number, flush=True)\n    time.sleep(0.002)"
        )
        run_id = agent.run(program, 1500, tmp_path / "go")

        for kills in range(6):
            room.wait(lambda: len(room.told(run_id).entries) > 60 * kills)  # noqa: B023
            agent.kill()
            agent.start()
        told = room.ended(run_id)

        assert_counted(told, 1500)
        assert ending(told) == ("FAILED", "EXIT_CODE")

    def test_run_that_ended_while_the_agent_was_away_is_told_whole(
        self, agent: AgentProcess, room: ControlRoom, tmp_path: Path
    ) -> None:
        go = tmp_path / "go"
        agent.start()
        run_id = agent.run(COUNTS, 1000, go)
        room.wait(lambda: room.told(run_id).text().endswith("\n500\n"))
        supervisor = agent.supervisor(run_id)
        agent.kill()
        go.touch()
        room.wait(lambda: not is_alive(supervisor))

        agent.start()

        assert_counted(room.ended(run_id), 1000)

    def test_server_away_delays_and_loses_nothing(
        self, agent: AgentProcess, room: ControlRoom, tmp_path: Path
    ) -> None:
        go = tmp_path / "go"
        agent.start()
        run_id = agent.run(COUNTS, 1000, go)
        room.wait(lambda: room.told(run_id).text().endswith("\n500\n"))
        supervisor = agent.supervisor(run_id)
        room.stop()
        go.touch()
        room.wait(lambda: not is_alive(supervisor))

        room.start()

        assert_counted(room.ended(run_id), 1000)
        room.wait(lambda: len(room.hellos) == 2)

    def test_agent_and_server_gone_together_lose_nothing(
        self, agent: AgentProcess, room: ControlRoom, tmp_path: Path
    ) -> None:
        go = tmp_path / "go"
        agent.start()
        run_id = agent.run(COUNTS, 1000, go)
        room.wait(lambda: room.told(run_id).text().endswith("\n500\n"))
        room.stop()
        agent.kill()
        go.touch()
        agent.start()

        room.start()

        assert_counted(room.ended(run_id), 1000)

    def test_stopped_agent_leaves_runs_running(
        self, agent: AgentProcess, room: ControlRoom
    ) -> None:
        agent.start()
        run_id = agent.run(WAITS)
        room.wait(lambda: room.told(run_id).text() == "up\n")

        assert agent.stop() == 0

        assert len(processes_of(run_id)) == 1
        agent.start()
        room.wait(lambda: len(room.hellos) == 2)
        assert room.hellos[1].held_run_ids == [run_id]
        assert room.hellos[0].agent_id == room.hellos[1].agent_id
        room.kill(run_id, "request-1")
        assert ending(room.ended(run_id)) == ("TERMINATED", "KILLED")


class TestOutput:
    def test_bytes_that_are_no_text_are_kept(self, agent: AgentProcess, room: ControlRoom) -> None:
        agent.start()
        told = room.ended(
            agent.run("import os; os.write(1, b'caf\\xe9 \\xff\\nfine \\xc3\\xa9\\n')")
        )

        assert [(entry.message, entry.original) for entry in told.entries] == [
            ("caf\N{REPLACEMENT CHARACTER} \N{REPLACEMENT CHARACTER}", b"caf\xe9 \xff"),
            ("fine é", b""),
        ]

    def test_line_of_64_mebibytes_is_cut_and_whole(
        self, agent: AgentProcess, room: ControlRoom
    ) -> None:
        agent.start()
        run_id = agent.run(
            "import sys\n"
            "for _ in range(64): sys.stdout.write('0123456789abcdef' * 65536)\n"
            "print('end')"
        )

        told = room.ended(run_id)

        assert told.text() == "0123456789abcdef" * 65536 * 64 + "end\n"
        assert max(len(entry.message) for entry in told.entries) <= 64 * 1024
        assert resident_mebibytes(agent.pid, "VmHWM") < 150

    def test_progress_bar_becomes_its_last_state(
        self, agent: AgentProcess, room: ControlRoom
    ) -> None:
        agent.start()
        told = room.ended(
            agent.run(
                "import sys\n"
                "for n in range(101): sys.stderr.write(f'\\r{n}%'); sys.stderr.flush()\n"
                "sys.stderr.write('\\n')"
            )
        )

        lines = told.text("stderr").splitlines()
        assert lines[-1] == "100%"
        assert len(lines) <= 3

    def test_last_line_without_line_end_is_told(
        self, agent: AgentProcess, room: ControlRoom
    ) -> None:
        agent.start()
        told = room.ended(agent.run("import sys; sys.stdout.write('one\\ntwo')"))

        assert [entry.message for entry in told.entries] == ["one", "two"]


class TestProcess:
    def test_second_agent_of_a_home_does_not_start(
        self, agent: AgentProcess, room: ControlRoom
    ) -> None:
        agent.start()
        room.wait(lambda: room.hellos)
        second = AgentProcess(agent.home, room)
        second.start()

        assert second.wait() == 1
        assert find_running(agent.home) == agent.pid

    def test_idle_agent_is_small(self, agent: AgentProcess, room: ControlRoom) -> None:
        agent.start()
        room.ended(agent.run("print('hello')"))

        assert resident_mebibytes(agent.pid) < 60

    def test_files_are_the_owners_alone(self, agent: AgentProcess, room: ControlRoom) -> None:
        agent.start()
        run_id = agent.run(WAITS)
        room.wait(lambda: room.told(run_id).text() == "up\n")

        files = [path for path in (agent.home / "agent" / "runs").rglob("*") if path.is_file()]
        assert files
        assert {stat.S_IMODE(path.stat().st_mode) & 0o077 for path in files} == {0}
        assert identify(agent.pid)


def resident_mebibytes(pid: int, what: str = "VmRSS") -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition(f"{what}:")[2].split()[0]) / 1024
