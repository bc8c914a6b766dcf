import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.clocks import shifted_clock
from support.eventually import eventually
from support.programs import Programs
from support.small_disk import small_disk
from support.stored_runs import StoredRun, StoredRuns
from support.whole_installation import WholeInstallation
from trackside_agent import detached

pytestmark = pytest.mark.end_to_end

DAY = 24 * 60 * 60


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WholeInstallation]:
    folder = tmp_path_factory.mktemp("installation")
    installation = WholeInstallation(folder / "home")
    installation.start()
    yield installation
    installation.stop()
    detached.stop(installation.home)


@pytest.fixture
def programs(installation: WholeInstallation) -> Programs:
    return Programs(installation.home, installation.address, token="")


@pytest.fixture
def runs(installation: WholeInstallation) -> Iterator[StoredRuns]:
    runs = StoredRuns(installation.address, installation.home)
    yield runs
    runs.close()


def is_told(stored: StoredRun) -> bool:
    """Return whether all is there of a program that counts to a hundred."""
    return len(stored.messages("stdout")) == len(stored.values("x")) == 100


def described(installation: WholeInstallation, stored: StoredRun) -> str:
    return installation.command("describe", stored.handle.run_id).out


@pytest.mark.parametrize(
    ("name", "ending", "code"),
    [
        ("exits at once", "os._exit(3)", 3),
        ("is killed", "os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL),
        ("faults", "faulthandler._sigsegv()", -signal.SIGSEGV),
        ("aborts", "os.abort()", -signal.SIGABRT),
    ],
)
def test_a_program_that_ends_without_a_word_has_crashed_with_all_it_said(
    installation: WholeInstallation,
    programs: Programs,
    runs: StoredRuns,
    name: str,
    ending: str,
    code: int,
) -> None:
    program = programs.start(
        f"""
        import faulthandler, os, signal, sys, trackside
        run = trackside.start_run({name!r})
        for number in range(100):
            run.log(x=number)
            print(number, flush=True)
        sys.stdin.readline()  # what is said in the last moment may be lost
        {ending}
        """
    )
    eventually(lambda: [each for each in runs.named(name) if is_told(each)])
    program.communicate("end\n", timeout=60)

    assert program.returncode == code
    stored = runs.only(name).sealed()
    assert stored.ending[:2] == ("FAILED", "CRASHED")
    assert stored.values("x") == list(range(100))
    assert stored.messages("stdout") == [str(number) for number in range(100)]
    shown = described(installation, stored)
    assert "FAILED" in shown
    assert "The program is gone without a word." in shown


@pytest.mark.parametrize(("days", "told"), [(1, "1 day ahead of"), (-3, "3 days behind")])
def test_of_a_clock_that_is_a_day_off_the_times_are_kept_and_the_order_is_right(
    installation: WholeInstallation,
    programs: Programs,
    runs: StoredRuns,
    tmp_path: Path,
    days: int,
    told: str,
) -> None:
    name = f"{days} days off"
    begin = time.time() + days * DAY
    ended = programs.run(
        f"""
        import time, trackside
        with trackside.start_run({name!r}) as run:
            for number in range(50):
                run.log(x=number)
                run.info(number)
            with run.task("fit"):
                time.sleep(0.3)
            assert run.flush(20)
            run.info("flushed")
        """,
        **shifted_clock(tmp_path, days * DAY),
    )
    end = time.time() + days * DAY

    assert (ended.code, ended.errors) == (0, "")
    stored = runs.only(name).sealed()
    assert stored.ending[0] == "COMPLETED"
    assert stored.values("x") == list(range(50))
    assert stored.messages() == [*map(str, range(50)), "flushed"]
    points = [milliseconds / 1000 for milliseconds in stored.series("x").points.times_millis]
    entries = [line.entry.time.ToNanoseconds() / 1e9 for line in stored.lines]
    for times in (points, entries):
        assert begin - 1 <= times[0] <= times[-1] <= end + 1
        assert times == sorted(times)
    assert begin - 1 <= stored.run.start_time.ToSeconds() <= end + 1
    (task,) = stored.tasks.values()
    assert 0.2 < (task.end_time.ToNanoseconds() - task.start_time.ToNanoseconds()) / 1e9 < 30
    shown = described(installation, stored)
    assert "CLOCK_SKEW" in shown
    assert f": The program's clock is {told} the server's." in shown


def test_threads_of_a_program_report_in_their_own_order(
    programs: Programs, runs: StoredRuns
) -> None:
    ended = programs.run(
        """
        import threading, trackside
        with trackside.start_run("threads") as run:
            def work(name):
                for number in range(1_000):
                    run.log({name: number})
                    run.info(f"{name} {number}")
            threads = [threading.Thread(target=work, args=(name,)) for name in "abcd"]
            for thread in threads: thread.start()
            for thread in threads: thread.join()
        """
    )

    assert (ended.code, ended.errors) == (0, "")
    stored = runs.only("threads").sealed()
    for name in "abcd":
        assert stored.values(name) == list(range(1_000))
        said = [message for message in stored.messages() if message.startswith(name)]
        assert said == [f"{name} {number}" for number in range(1_000)]


def test_what_a_full_spool_has_dropped_is_counted_and_shown_on_the_run(
    installation: WholeInstallation, runs: StoredRuns, tmp_path: Path
) -> None:
    token = (installation.home / "token").read_text().strip()
    installation.kill()
    with small_disk(tmp_path) as disk:
        process = Programs(disk, installation.address, token).start(
            """
            import sys, trackside
            with trackside.start_run("drops", capture=False, system_metrics=False) as run:
                for number in range(1_500):
                    run.info("x" * 60_000)
                    run.log(x=number)
                print("said", flush=True)
                sys.stdin.readline()
                assert run.flush(40)
            """
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "said\n"
        installation.start()
        _, errors = process.communicate("go on\n", timeout=90)

    assert (process.returncode, errors) == (0, "")
    stored = runs.only("drops").sealed()
    assert stored.values("x") == list(range(1_500))
    arrived = stored.messages().count("x" * 60_000)
    (loss,) = stored.run.losses
    assert (loss.kind, loss.item_count) == ("logs", 1_500 - arrived)
    assert f"{loss.item_count} log entries" in described(installation, stored)
