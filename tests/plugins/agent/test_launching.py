"""How a run begins: what is asked of the runner, what it is told, what is refused."""

from pathlib import Path

import pytest

from support.agents import AgentProcess, how_it_ended
from support.control_room import ControlRoom
from trackside_protos.runs.v1.run_state_pb2 import RunState

pytestmark = pytest.mark.end_to_end

WAITS = "import time; print('up', flush=True); time.sleep(600)"


def test_run_is_launched_and_completes(agent: AgentProcess, room: ControlRoom) -> None:
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
    assert how_it_ended(told) == ("COMPLETED", "UNSPECIFIED")


def test_agent_says_who_it_is(agent: AgentProcess, room: ControlRoom) -> None:
    agent.start()
    room.wait(lambda: room.renewals)

    (hello,) = room.hellos
    assert hello.agent_id.startswith("agent-")
    assert [(offer.name, offer.capacity) for offer in hello.runners] == [("local", 8)]
    assert room.renewals[0].free_slots == {"local": 8}
    assert room.tokens == {"Bearer token-of-the-agent"}


def test_slots_are_taken_and_given_back(agent: AgentProcess, room: ControlRoom) -> None:
    agent.start()
    run_id = agent.run(WAITS)
    room.wait(lambda: room.renewals and room.renewals[-1].free_slots["local"] == 7)

    room.kill(run_id, "request-1")

    room.wait(lambda: room.renewals[-1].free_slots["local"] == 8)


def test_machine_and_process_are_reported(agent: AgentProcess, room: ControlRoom) -> None:
    agent.start()
    told = room.ended(agent.run("import os; print(os.getpid())"))

    (machine,) = [
        report.provenance.machine for report in told.reports if report.HasField("provenance")
    ]
    assert machine.process_id == int(told.text())
    assert machine.cpu_count > 0


def test_parameters_are_put_into_the_command(agent: AgentProcess, room: ControlRoom) -> None:
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
    agent: AgentProcess, room: ControlRoom
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
    agent: AgentProcess, room: ControlRoom, command: list[str], part: str
) -> None:
    agent.start()
    run = agent.new_run(command)
    room.assign(run)

    told = room.ended(run.run_id)

    assert how_it_ended(told) == ("FAILED", "LAUNCH_REFUSED")
    assert told.ending is not None
    assert part in told.ending.message
    assert [report.error.kind for report in told.reports if report.HasField("error")] == [
        "LaunchRefused"
    ]


def test_runner_that_is_not_offered_is_refused(agent: AgentProcess, room: ControlRoom) -> None:
    agent.start()
    run = agent.new_run(["true"], runner="slurm")
    room.assign(run)

    assert how_it_ended(room.ended(run.run_id)) == ("FAILED", "LAUNCH_REFUSED")


def test_second_assignment_launches_nothing(
    agent: AgentProcess, room: ControlRoom, tmp_path: Path
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
