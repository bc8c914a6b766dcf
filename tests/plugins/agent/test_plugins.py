"""Runners that report everything, and runners that do everything wrong, in a real agent."""

from pathlib import Path

import pytest

from support.agents import AgentProcess
from support.control_room import ControlRoom, Told
from trackside_protos.runs.v1.run_state_pb2 import RunState, StateReason
from trackside_protos.runs.v1.task_pb2 import TaskState

pytestmark = pytest.mark.end_to_end

ODD = """
import asyncio, time
from trackside_plugin_interface import *

@hookimpl
def trackside_runners():
    return [Odd()]

class Odd(Runner):
    name = "odd"
    tries = 0
    killed = asyncio.Event()

    async def launch(self, spec, reporter):
        self.tries += 1
        what = spec.command[0]
        if what == "limits":
            limits = (spec.time_limit_seconds, spec.memory_limit_bytes, spec.machine_type)
            reporter.progress(repr(limits))
        if what == "unheard-of":
            raise SpecRefusedError("\\udcff\\0" + "x" * 100_000)
        if what == "launch-raises":
            raise RuntimeError("no idea")
        if what == "unavailable" and self.tries < 3:
            raise EngineUnavailableError("the queue is full")
        if what == "no-room":
            raise NothingLaunchedError("the queue is full")
        if what == "hangs":
            time.sleep(600)
        return {"what": what}

    async def adopt(self, handle, reporter):
        self.tries += 1
        what = handle["what"]
        reporter.state(RunState.RUNNING, time=1000.5)
        if what == "adopt-exits" and self.tries < 4:
            raise SystemExit(3)
        if what == "adopt-returns" and self.tries < 3:
            return
        if what == "reports":
            self.report(reporter)
        if what in ("waits-for-kill", "cannot-stop", "hard-to-kill"):
            await self.killed.wait()
        reason = EndReason.OUT_OF_MEMORY if what == "memory" else None
        reporter.finished(Ending(exit_code=None if reason else 0, reason=reason, time=2000.25))

    async def stop(self, handle, grace_seconds):
        if handle["what"] == "cannot-stop":
            raise OSError("not today")
        return await super().stop(handle, grace_seconds)

    async def kill(self, handle):
        self.tries += 1
        if handle["what"] == "hard-to-kill" and self.tries < 5:  # the launch and `adopt` are two
            raise OSError("not now")
        self.killed.set()

    def report(self, reporter):
        reporter.progress("Fitting fold 3/5")
        reporter.machine(Machine(host="node7", machine_type="c5.large", cpu_count=2))
        reporter.scope(Scope(path="variant/fold", completed_count=3, total_count=5))
        used = Resources(memory_bytes=10, duration=1.5)
        attempt = TaskAttempt(number=1, state=TaskState.RUNNING, used=used, start_time=3.5)
        reporter.task(Task(task_id="1", name="FIT (a)", state=TaskState.RUNNING,
                           process="FIT", attempts=[attempt], wait=TaskWait.COMPUTE))
        reporter.publish(Output(path="model.bin", size_bytes=7, kind=OutputKind.MODEL))
        reporter.error(ErrorReport(kind="Oops", message="not so bad", time=4.0))
        for step in range(3):
            reporter.metric("loss", step / 2, step=step, time=5.0, context={"fold": "1"})
        reporter.metric("loss", float("nan"), step=9, time=6.0)
        reporter.log("hello", level=LogLevel.WARNING, time=7.0, task_id="1")
        reporter.write(b"one\\ntw", stream="out", position="6", time=8.0, task_id="1")
        reporter.write(b"o\\n", stream="out", position="8", time=9.0, task_id="1")
"""


def install(agent: AgentProcess, folder: Path, **plugins: str) -> None:
    for name, source in plugins.items():
        (folder / f"made_up_{name}.py").write_text(source)
        information = folder / f"made_up_{name}-1.0.dist-info"
        information.mkdir()
        (information / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: made-up-{name}\nVersion: 1.0\n"
        )
        (information / "entry_points.txt").write_text(f"[trackside]\n{name} = made_up_{name}\n")
    agent.start(PYTHONPATH=str(folder))


@pytest.fixture
def odd(agent: AgentProcess, tmp_path: Path) -> AgentProcess:
    install(agent, tmp_path, odd=ODD)
    return agent


def told_of(odd: AgentProcess, room: ControlRoom, what: str) -> Told:
    run = odd.new_run([what], runner="odd")
    room.assign(run)
    return room.ended(run.run_id)


def test_everything_that_a_runner_reports_arrives(odd: AgentProcess, room: ControlRoom) -> None:
    told = told_of(odd, room, "reports")

    reports = {report.WhichOneof("report"): report for report in told.reports}
    assert reports["progress"].progress.message == "Fitting fold 3/5"
    assert reports["provenance"].provenance.machine.machine_type == "c5.large"
    assert reports["scope"].scope.total_count == 5
    assert reports["task"].task.attempts[0].used.duration.ToTimedelta().total_seconds() == 1.5
    assert reports["task"].task.state == TaskState.TASK_STATE_RUNNING
    assert reports["output"].output.path == "model.bin"
    assert reports["error"].error.kind == "Oops"
    assert told.states[0].state == RunState.RUN_STATE_RUNNING
    assert told.reports[0].time.ToMilliseconds() == 1_000_500
    assert [
        (block.key, dict(block.context), list(block.steps), list(block.times_millis))
        for block in told.blocks
    ] == [("loss", {"fold": "1"}, [0, 1, 2], [5000] * 3), ("loss", {}, [9], [6000])]
    assert [(entry.message, entry.stream, entry.task_id) for entry in told.entries] == [
        ("hello", "engine", "1"),
        ("one", "out", "1"),
        ("two", "out", "1"),
    ]
    assert told.entries[2].time.ToMilliseconds() == 9000


def test_limits_and_machine_type_reach_the_runner(odd: AgentProcess, room: ControlRoom) -> None:
    limited, free = (odd.new_run(["limits"], runner="odd") for _ in range(2))
    limited.launch.time_limit_duration.FromMilliseconds(1500)
    limited.launch.memory_limit_bytes = 5 << 30
    limited.launch.machine_type = "c5.large"
    for run in (limited, free):
        room.assign(run)

    said = [
        [report.progress.message for report in room.ended(run.run_id).reports[:1]]
        for run in (limited, free)
    ]

    assert said == [["(1.5, 5368709120, 'c5.large')"], ["(None, None, '')"]]


def test_run_that_waits_for_room_is_ended_without_the_engine(
    odd: AgentProcess, room: ControlRoom
) -> None:
    run = odd.new_run(["no-room"], runner="odd")
    room.assign(run)
    room.wait(lambda: room.told(run.run_id).states)

    room.kill(run.run_id, "request-1")
    told = room.ended(run.run_id)

    assert told.ending is not None
    assert told.ending.reason == StateReason.STATE_REASON_KILLED
    assert told.found_nothing("request-1")


def test_runner_that_knows_no_gentle_end_kills(odd: AgentProcess, room: ControlRoom) -> None:
    run = odd.new_run(["waits-for-kill"], runner="odd")
    room.assign(run)
    room.wait(lambda: room.told(run.run_id).states)

    room.stop_run(run.run_id, "request-1")
    told = room.ended(run.run_id)

    assert told.ending is not None
    assert told.ending.reason == StateReason.STATE_REASON_STOPPED
    assert told.steps("request-1") == ["ACKNOWLEDGED", "CONFIRMED"]


def test_stop_that_the_runner_cannot_do_becomes_a_kill(
    odd: AgentProcess, room: ControlRoom
) -> None:
    run = odd.new_run(["cannot-stop"], runner="odd")
    room.assign(run)
    room.wait(lambda: room.told(run.run_id).states)

    room.stop_run(run.run_id, "request-1", grace_seconds=0.5)

    assert room.ended(run.run_id).steps("request-1") == ["ACKNOWLEDGED", "ESCALATED", "CONFIRMED"]


def test_reason_of_the_engine_is_told(odd: AgentProcess, room: ControlRoom) -> None:
    ending = told_of(odd, room, "memory").ending

    assert ending is not None
    assert ending.reason == StateReason.STATE_REASON_OUT_OF_MEMORY


@pytest.mark.parametrize("what", ["adopt-exits", "adopt-returns", "unavailable"])
def test_runner_that_stumbles_is_tried_again(
    odd: AgentProcess, room: ControlRoom, what: str
) -> None:
    ending = told_of(odd, room, what).ending

    assert ending is not None
    assert ending.state == RunState.RUN_STATE_COMPLETED


def test_engine_without_room_is_told_of(odd: AgentProcess, room: ControlRoom) -> None:
    waiting = told_of(odd, room, "unavailable").states[0]

    assert waiting.state == RunState.RUN_STATE_PENDING
    assert waiting.reason == StateReason.STATE_REASON_WAITING_FOR_RESOURCES
    assert waiting.message == "the queue is full"


def test_runner_that_cannot_launch_is_named(odd: AgentProcess, room: ControlRoom) -> None:
    ending = told_of(odd, room, "launch-raises").ending

    assert ending is not None
    assert ending.reason == StateReason.STATE_REASON_LAUNCH_REFUSED
    assert ending.message == "runner 'odd' is at fault: RuntimeError: no idea"


def test_words_that_the_wire_does_not_take_are_made_to_fit(
    odd: AgentProcess, room: ControlRoom
) -> None:
    ending = told_of(odd, room, "unheard-of").ending

    assert ending is not None
    assert ending.message == "?\N{REPLACEMENT CHARACTER}" + "x" * 1021 + "…"


def test_kill_is_tried_again_until_it_is_confirmed(odd: AgentProcess, room: ControlRoom) -> None:
    run = odd.new_run(["hard-to-kill"], runner="odd")
    room.assign(run)
    room.wait(lambda: room.told(run.run_id).states)

    room.kill(run.run_id, "request-1")
    told = room.ended(run.run_id)

    assert odd.log.count("cannot be ended now: ") == 2
    assert told.steps("request-1") == ["ACKNOWLEDGED", "CONFIRMED"]
    assert told.ending is not None
    assert told.ending.reason == StateReason.STATE_REASON_KILLED


def test_runner_that_hangs_costs_only_itself(odd: AgentProcess, room: ControlRoom) -> None:
    room.assign(odd.new_run(["hangs"], runner="odd"))

    assert room.ended(odd.run("print('fine')")).text() == "fine\n"
    assert odd.stop() == 0


def test_plugin_at_fault_is_offered_with_its_fault(
    agent: AgentProcess, room: ControlRoom, tmp_path: Path
) -> None:
    install(agent, tmp_path, broken="import no_such_module_at_all")
    room.wait(lambda: room.hellos)

    faults = {offer.name: offer.fault for offer in room.hellos[0].runners}
    assert faults["local"] == ""
    assert "plugin broken" in faults["broken"]
    assert "no_such_module_at_all" in faults["broken"]
