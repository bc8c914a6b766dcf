import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.eventually import eventually
from support.folders import paths_below
from support.programs import Programs
from support.stored_runs import StoredRun, StoredRuns
from support.whole_installation import WholeInstallation
from trackside.delivery.leftovers import deliver_spools
from trackside.location import discover
from trackside.spool.folder import SpoolFolder
from trackside_agent import detached

pytestmark = pytest.mark.end_to_end

COUNTS = """
import itertools, os, sys, time, trackside
with trackside.start_run("counts", capture=False) as run:
    for number in itertools.count():
        run.log(x=number)
        run.info(number)
        print(number, flush=True)
        time.sleep(0.001)
        if os.path.exists(sys.argv[1]):
            break
"""
SAYS_A_HUNDRED = """
import sys, trackside
with trackside.start_run("hundred") as run:
    for number in range(100):
        run.log(x=number)
        print(number)
    sys.exit(5)
"""


@pytest.fixture
def installation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[WholeInstallation]:
    """Return an installation that was never started."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    installation = WholeInstallation(tmp_path / "home")
    yield installation
    installation.stop()
    detached.stop(installation.home)


def programs_of(installation: WholeInstallation) -> Programs:
    return Programs(installation.home, installation.address, token="")


def runs_of(installation: WholeInstallation) -> StoredRuns:
    return StoredRuns(installation.address, installation.home)


def delivered(installation: WholeInstallation, name: str) -> StoredRun:
    runs = runs_of(installation)
    eventually(lambda: runs.named(name))
    return runs.only(name).sealed()


def spools_of(installation: WholeInstallation) -> list[str]:
    return [path for path in paths_below(installation.home / "spool") if "/" in path]


def assert_times_between(stored: StoredRun, begin: float, end: float) -> None:
    times = [line.entry.time.ToNanoseconds() / 1e9 for line in stored.lines]
    points = [milliseconds / 1000 for milliseconds in stored.series("x").points.times_millis]
    for each in (times, points):
        assert each == sorted(each)
        assert begin - 0.001 <= each[0] <= each[-1] <= end


def test_a_server_that_is_killed_over_and_over_gets_everything_once(
    installation: WholeInstallation, tmp_path: Path
) -> None:
    installation.start()
    begin, stop = time.time(), tmp_path / "stop"
    program = programs_of(installation).start(COUNTS, arguments=[str(stop)])
    assert program.stdout is not None
    for until in (300, 900, 1_500):
        while int(program.stdout.readline()) < until:
            pass
        installation.kill()
        installation.start()

    stop.touch()
    output, errors = program.communicate(timeout=90)

    count = int(output.split()[-1]) + 1
    stored = delivered(installation, "counts")
    assert (program.returncode, errors) == (0, "")
    assert stored.values("x") == list(range(count))
    assert stored.messages() == [str(number) for number in range(count)]
    assert stored.ending[0] == "COMPLETED"
    assert_times_between(stored, begin, time.time())


def test_what_was_reported_before_the_first_start_of_a_server_is_there_after_it(
    installation: WholeInstallation,
) -> None:
    begin = time.time()
    ended = Programs(installation.home, "127.0.0.1:9", token="").run(SAYS_A_HUNDRED)
    end = time.time()

    installation.start()

    assert (ended.code, ended.output.split()) == (5, [str(n) for n in range(100)])
    assert len(ended.errors.splitlines()) == 1
    assert "Traceback" not in ended.errors
    stored = delivered(installation, "hundred")
    assert stored.values("x") == list(range(100))
    assert stored.messages() == [str(number) for number in range(100)]
    assert stored.ending == ("FAILED", "EXIT_CODE", 5)
    assert_times_between(stored, begin, end)
    started = stored.run.start_time.ToNanoseconds() / 1e9
    assert begin - 0.001 <= started <= end
    eventually(lambda: not spools_of(installation))


def test_an_agent_that_outlived_its_server_delivers_what_programs_left_meanwhile(
    installation: WholeInstallation,
) -> None:
    installation.start()
    eventually(lambda: detached.find_running(installation.home))
    installation.kill()
    ended = programs_of(installation).run(SAYS_A_HUNDRED)

    installation.start()

    assert ended.code == 5
    assert delivered(installation, "hundred").values("x") == list(range(100))


def test_a_program_that_was_killed_without_a_server_is_found_to_have_crashed(
    installation: WholeInstallation,
) -> None:
    program = Programs(installation.home, "127.0.0.1:9", token="").start(COUNTS, arguments=["/-"])
    assert program.stdout is not None
    while int(program.stdout.readline()) < 2_000:
        pass
    program.kill()
    program.communicate()

    installation.start()

    stored = delivered(installation, "counts")
    values, messages = stored.values("x"), stored.messages()
    assert stored.ending[:2] == ("FAILED", "CRASHED")
    assert values == list(range(len(values)))
    assert len(values) > 200
    assert messages == [str(number) for number in range(len(messages))]
    assert len(values) - len(messages) in (0, 1)  # what it had said before one, and not the other


def test_what_comes_after_the_seal_is_taken_and_marked_late(
    installation: WholeInstallation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installation.start()
    elsewhere = tmp_path / "elsewhere"
    offline = ["env", f"TRACKSIDE_HOME={elsewhere}", "TRACKSIDE_MODE=offline", sys.executable, "-c"]
    code = "import trackside\nwith trackside.start_run() as r: r.info('late'); r.log(x=1); print(1)"
    run = installation.command("run", "--name", "seals", "--", *offline, code)
    stored = delivered(installation, "seals")
    before = stored.run
    monkeypatch.setenv("TRACKSIDE_HOME", str(elsewhere))
    monkeypatch.setenv("TRACKSIDE_SERVER", installation.address)
    monkeypatch.setenv("TRACKSIDE_TOKEN", (installation.home / "token").read_text())

    report = deliver_spools(discover())

    assert run.code == 0
    assert report.delivered == (stored.handle.run_id,)
    assert [(line.message, line.late) for line in stored.lines] == [("1", False), ("late", True)]
    assert stored.values("x") == [1.0]
    assert (stored.run.state, stored.run.end_time) == (before.state, before.end_time)


def test_what_a_launched_program_could_not_send_is_delivered_by_the_agent(
    installation: WholeInstallation, tmp_path: Path
) -> None:
    installation.start()
    go_on = tmp_path / "go on"
    code = (
        "import os, sys, time, trackside\n"
        "with trackside.start_run() as run:\n"
        "    run.info('begun'); run.flush(20)\n"
        "    while not os.path.exists(sys.argv[1]): time.sleep(0.01)\n"
        "    for step in range(100): run.log(x=step)\n"
    )
    words = ["run", "-d", "-o", "name", "--", sys.executable, "-c", code, str(go_on)]
    run_id = installation.command(*words).out.strip()
    stored = runs_of(installation).by_id(run_id)
    eventually(lambda: "begun" in stored.messages())
    installation.kill()
    go_on.touch()
    kept = tmp_path / "data" / "trackside" / "spool" / run_id
    eventually(
        lambda: any(
            (newest := SpoolFolder(path).newest()) and newest.closing for path in kept.glob("sdk-*")
        )
    )

    installation.start()

    assert stored.sealed().ending[0] == "COMPLETED"
    assert eventually(lambda: stored.values("x")) == list(range(100))
    eventually(lambda: not kept.exists())


def test_an_agent_whose_machine_lost_power_repeats_and_loses_no_line(
    installation: WholeInstallation, tmp_path: Path
) -> None:
    installation.start()
    eventually(lambda: detached.find_running(installation.home))
    detached.stop(installation.home)
    agent = PoweredAgent(installation)
    agent.start()
    stop = tmp_path / "stop"
    code = (
        "import itertools, os, sys, time\n"
        "for n in itertools.count():\n"
        "    print(n, flush=True); time.sleep(0.0005)\n"
        "    if os.path.exists(sys.argv[1]): break"
    )
    words = ["run", "-d", "-o", "name", "--", sys.executable, "-c", code, str(stop)]
    run_id = installation.command(*words).out.strip()
    stored = runs_of(installation).by_id(run_id)

    for cut in range(1, 6):
        eventually(lambda enough=cut * 400: len(stored.lines) > enough)
        agent.lose_power()
        agent.start()
    stop.touch()
    lines = stored.sealed().messages()
    agent.stop()

    assert lines == [str(number) for number in range(len(lines))]
    assert stored.ending[0] == "COMPLETED"
    assert agent.lost_bytes > 0


class PoweredAgent:
    """An agent with a slow disk, of which one knows what of its spools is on the disk itself."""

    PROGRAM = """
import json, os, runpy, sys, time
real = os.fdatasync
def fdatasync(descriptor):
    size = os.fstat(descriptor).st_size
    time.sleep(0.3)
    real(descriptor)
    with open(sys.argv[1], "a") as ledger:
        ledger.write(json.dumps([os.readlink(f"/proc/self/fd/{descriptor}"), size]) + "\\n")
os.fdatasync = fdatasync
runpy.run_module("trackside_agent", run_name="__main__")
"""

    def __init__(self, installation: WholeInstallation) -> None:
        self.lost_bytes = 0
        self._installation = installation
        self._ledger = installation.home / "synced"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(  # noqa: S603 - our own program
            [sys.executable, "-c", self.PROGRAM, str(self._ledger)],
            env=self._installation.environment,
            stdin=subprocess.DEVNULL,
        )

    def lose_power(self) -> None:
        """Kill it, and take back what its spools were given since they were synced last."""
        self._end(signal.SIGKILL)
        synced: dict[str, int] = {}
        for line in self._ledger.read_text().splitlines():
            path, size = json.loads(line)
            synced[path] = size
        for path in (self._installation.home / "spool").glob("*/agent-*/*.segment"):
            kept = synced.get(str(path), 0)
            self.lost_bytes += path.stat().st_size - kept
            os.truncate(path, kept)
        for path in (self._installation.home / "spool").glob("*/agent-*/delivered.json"):
            path.unlink()

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def _end(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)
        self._process.wait(60)
