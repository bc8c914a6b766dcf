import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.eventually import eventually
from support.folders import paths_below
from support.machine import Machine
from support.programs import Programs
from support.stored_runs import StoredRun, StoredRuns
from support.whole_installation import TRACKSIDE, WholeInstallation
from trackside_agent import detached

pytestmark = pytest.mark.end_to_end

# A script of ten minutes, each of them a tenth of a second: a file says when it is to end.
SCRIPT = """
import itertools, os, sys, time, trackside
with trackside.start_run("outage", params={"minutes": 10}) as run:
    for minute in run.progress(itertools.count(), scope="minute"):
        with run.task(f"minute {minute}"):
            for second in range(60):
                run.log(second=60 * minute + second)
                run.log(told=time.time())
                run.info(f"said {60 * minute + second}")
                time.sleep(0.1 / 60)
        print(minute, flush=True)
        if os.path.exists(sys.argv[1]):
            run.result(best_score=0.5, models_trained=minute)
            sys.exit(5)
"""
AWAY_FROM, AWAY_UNTIL, KILLED_AT = 2, 10, 20
"""In minutes."""


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    machine = Machine(tmp_path)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("TMPDIR", str(machine.temporary))
    return machine


@pytest.fixture
def installation(tmp_path: Path, machine: Machine) -> Iterator[WholeInstallation]:
    assert machine.temporary.exists()
    installation = WholeInstallation(tmp_path / "home")
    installation.start()
    eventually(lambda: detached.find_running(installation.home))
    yield installation
    installation.stop()
    detached.stop(installation.home)


class Script:
    """The script, started by hand."""

    def __init__(self, installation: WholeInstallation, stop: Path, **more: str) -> None:
        self._programs = Programs(installation.home, installation.address, token="")
        self._home = Path(more.get("TRACKSIDE_HOME", installation.home))
        self._stop = stop
        self._process = self._programs.start(SCRIPT, arguments=[str(stop)], **more)
        self.minutes = 0
        self.over = 0.0
        """When it was known to have ended."""

    def reach(self, minute: int) -> None:
        """Return when this minute is over."""
        assert self._process.stdout is not None
        while self.minutes < minute:
            self.minutes = int(self._process.stdout.readline()) + 1

    def end(self) -> None:
        self._stop.touch()
        self._reap()
        assert self._process.returncode == 5

    def kill(self) -> None:
        """Kill it when what it said until the server would be back is on the disk."""
        said = f"said {60 * AWAY_UNTIL}".encode()
        segments = self._home.glob  # they are a little behind what it says
        eventually(lambda: any(said in s.read_bytes() for s in segments("spool/*/*/*.segment")))
        self._process.send_signal(signal.SIGKILL)
        self._reap()

    def _reap(self) -> None:
        output, _ = self._process.communicate(timeout=90)
        self.over = time.time()
        self.minutes += len(output.split())


def stored_by(installation: WholeInstallation) -> StoredRun:
    runs = StoredRuns(installation.address, installation.home)
    eventually(lambda: runs.named("outage"))
    return runs.only("outage").sealed()


def assert_everything_once_in_order_at_its_time(stored: StoredRun, minutes: int) -> None:
    count = 60 * minutes
    seconds, told = stored.values("second"), stored.series("told").points
    assert seconds[:count] == list(range(count))
    assert seconds == list(range(len(seconds)))
    assert list(told.steps) == list(range(len(told.values)))
    # Each was looked up just before it was reported, and the next one after that.
    for value, milliseconds in zip(told.values, told.times_millis, strict=True):
        assert value - 0.002 < milliseconds / 1000
    for milliseconds, following in zip(told.times_millis, told.values[1:], strict=False):
        assert milliseconds / 1000 < following + 0.002
    said = stored.messages("log")
    said = [each for each in said if each.startswith("said ")]
    assert said == [f"said {number}" for number in range(len(said))]
    assert len(said) >= count
    logged = [line for line in stored.lines if line.stream == "log"]
    times = [line.entry.time.ToNanoseconds() for line in logged]
    assert times == sorted(times)
    printed = stored.messages("stdout")
    assert printed == [str(minute) for minute in range(len(printed))]
    assert len(printed) >= minutes - 1
    tasks = list(stored.tasks)
    assert tasks == [f"minute {minute}" for minute in range(len(tasks))]
    assert len(tasks) >= minutes
    assert stored.changes


def assert_ended_when_it_did(stored: StoredRun, script: Script) -> None:
    ended = stored.run.end_time.ToNanoseconds() / 1e9
    assert stored.series("told").points.values[-1] - 0.02 < ended < script.over


def test_a_script_outlives_the_server_and_the_machine_loses_nothing_of_what_it_said(
    installation: WholeInstallation, machine: Machine, tmp_path: Path
) -> None:
    script = Script(installation, tmp_path / "stop")
    script.reach(AWAY_FROM)
    installation.kill()
    script.reach(AWAY_UNTIL)
    script.end()
    machine.go_down()
    assert detached.find_running(installation.home) is None

    installation.prefix = machine.boot()
    installation.start()

    stored = stored_by(installation)
    assert stored.ending == ("FAILED", "EXIT_CODE", 5)
    assert_everything_once_in_order_at_its_time(stored, script.minutes)
    assert stored.values("second")[-1] == 60 * script.minutes - 1
    assert stored.run.result.best_score == 0.5
    (minute,) = stored.run.scopes
    assert (minute.path, minute.completed_count) == ("minute", script.minutes - 1)
    assert_ended_when_it_did(stored, script)
    spools = installation.home / "spool"
    eventually(lambda: not [path for path in paths_below(spools) if "/" in path])


def test_a_script_that_is_killed_while_all_is_away_has_crashed_with_all_it_said(
    installation: WholeInstallation, machine: Machine, tmp_path: Path
) -> None:
    script = Script(installation, tmp_path / "stop")
    script.reach(AWAY_FROM)
    installation.kill()
    script.reach(KILLED_AT)
    script.kill()
    machine.go_down()

    installation.prefix = machine.boot()
    installation.start()

    stored = stored_by(installation)
    assert stored.ending[:2] == ("FAILED", "CRASHED")
    assert_everything_once_in_order_at_its_time(stored, AWAY_UNTIL - 1)
    assert_ended_when_it_did(stored, script)


@pytest.mark.parametrize("when", ["after its end", "in its midst"])
def test_a_launched_script_is_known_to_its_end_after_the_machine_went_down(
    installation: WholeInstallation, machine: Machine, tmp_path: Path, when: str
) -> None:
    stop, program = tmp_path / "stop", tmp_path / "script.py"
    program.write_text(SCRIPT)
    words = ("run", "-d", "--name", "outage", "--", sys.executable, str(program), str(stop))
    assert installation.command(*words).code == 0
    runs = StoredRuns(installation.address, installation.home)
    watched = runs.only("outage")
    eventually(lambda: len(watched.messages("stdout")) >= AWAY_FROM)
    installation.kill()
    folder = installation.home / "agent" / "runs"
    (output,) = folder.glob("*/runner/output")
    eventually(lambda: f"{KILLED_AT}\n".encode() in output.read_bytes())
    if when == "after its end":
        stop.touch()
        eventually(lambda: list(folder.rglob("exit*")))
    machine.go_down()

    installation.prefix = machine.boot()
    installation.start()

    stored = stored_by(installation)
    is_whole = when == "after its end"
    assert stored.ending == (("FAILED", "EXIT_CODE", 5) if is_whole else ("FAILED", "CRASHED", 0))
    minutes = len(stored.messages("stdout"))
    assert minutes >= KILLED_AT
    assert_everything_once_in_order_at_its_time(stored, minutes if is_whole else AWAY_UNTIL)


@pytest.mark.parametrize("is_named", [False, True], ids=["as the home", "as a folder"])
def test_a_home_without_an_agent_is_synced_any_number_of_times_and_stored_once(
    installation: WholeInstallation, machine: Machine, tmp_path: Path, *, is_named: bool
) -> None:
    elsewhere = tmp_path / "elsewhere"
    token = (installation.home / "token").read_text().strip()
    away = {"TRACKSIDE_HOME": str(elsewhere), "TRACKSIDE_TOKEN": token}
    script = Script(installation, tmp_path / "stop", **away)
    script.reach(AWAY_FROM)
    installation.kill()
    script.reach(KILLED_AT)
    script.kill()
    machine.go_down()
    installation.prefix = machine.boot()
    installation.start()
    sync = [TRACKSIDE, "sync", *([str(elsewhere)] if is_named else [])]
    environment = installation.environment | ({} if is_named else away)

    cut = subprocess.Popen(sync, env=environment)  # noqa: S603 - our own command
    runs = StoredRuns(installation.address, installation.home)
    eventually(lambda: any(stored.lines for stored in runs.named("outage")))
    cut.kill()
    cut.wait()
    several = [subprocess.Popen(sync, env=environment) for _ in range(3)]  # noqa: S603 - likewise
    codes = [each.wait(60) for each in several]
    codes.append(subprocess.run(sync, env=environment, check=False).returncode)  # noqa: S603 - likewise

    assert set(codes) == {0}
    stored = stored_by(installation)
    assert stored.ending[:2] == ("FAILED", "CRASHED")
    assert_everything_once_in_order_at_its_time(stored, AWAY_UNTIL - 1)
