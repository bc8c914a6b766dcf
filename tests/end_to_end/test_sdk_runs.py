import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.eventually import eventually
from support.programs import Programs
from support.stored_runs import StoredRuns
from support.whole_installation import WholeInstallation
from trackside.client.async_handle import AsyncRunHandle
from trackside.client.connection import Connection
from trackside.client.errors import InvalidRequestError, NotFoundError
from trackside.client.handle import get_run
from trackside.location import Location, read_token
from trackside.session.launch import launch
from trackside_protos.runs.v1.output_pb2 import OutputKind
from trackside_protos.runs.v1.run_state_pb2 import RunState
from trackside_protos.runs.v1.task_pb2 import TaskState

pytestmark = pytest.mark.end_to_end

TELLS_EVERYTHING = """
import logging, pathlib, time, trackside
with trackside.start_run(
    "everything", project="vision", params={"lr": 1e-3, "layers": [1, 2]}, tags=["gpu", "a"],
    labels={"team": "x"}, notes="**n**", description="one line", config={"o": {"name": "adam"}},
) as run:
    times = []
    for step in range(2000):
        times.append(time.time())
        run.log(loss=1 / (step + 1), step=step)
    for fold in range(3):
        run.log({"score": fold / 10}, context={"fold": fold})
    run.log(odd=float("nan")); run.log(odd=float("inf"))
    for number in range(1000):
        run.info(number)
    with run.scope("variant", total=2) as variant:
        with run.scope("fold", total=5, unit="folds") as fold:
            run.error("inside", model="Ridge")
            fold.advance(2, message="Fitting fold 2/5 - Ridge")
        variant.advance()
    with run.task("scale inputs", process="preprocess", script="x = 1") as task:
        task.cached()
    with run.task("fit", process="train"):
        logging.getLogger("mine").warning("in the task", extra={"branch": "b"})
    try:
        with run.task("broken", process="train"):
            raise ValueError("no")
    except ValueError:
        pass
    pathlib.Path("model.json").write_text("{}")
    run.output("model.json", kind="model", description="the best")
    run.dataset("numbers", b"1 2 3", row_count=3)
    run.add_tags("late")
    run.set_labels(stage="fit")
    run.set_parameters({"layers": [3]})
    run.set_config({"o": {"name": "adamw"}})
    run.progress_message("Refitting")
    run.result(best_score=0.94, best_series="score", models_trained=5, alpha=0.5)
times.append(time.time())
print(*times[:2], *times[-2:])
"""


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WholeInstallation]:
    folder = tmp_path_factory.mktemp("installation")
    installation = WholeInstallation(folder / "home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_DATA_HOME", str(folder))  # where launched programs keep things
        installation.start()
        yield installation
        assert installation.stop() == 0


@pytest.fixture
def programs(installation: WholeInstallation) -> Programs:
    return Programs(installation.home, installation.address, token="")


@pytest.fixture
def runs(installation: WholeInstallation) -> Iterator[StoredRuns]:
    runs = StoredRuns(installation.address, installation.home)
    yield runs
    runs.close()


def test_everything_that_was_reported_is_stored_once_and_in_order(
    programs: Programs, runs: StoredRuns
) -> None:
    ended = programs.run(TELLS_EVERYTHING)

    assert (ended.code, ended.errors) == (0, "in the task\n")
    first, second, last, over = map(float, ended.output.split())
    stored = runs.only("everything").sealed()
    assert stored.values("loss") == [1 / (step + 1) for step in range(2000)]
    loss = stored.series("loss").points
    assert list(loss.steps) == list(range(2000))
    assert first - 0.002 < loss.times_millis[0] / 1000 < second + 0.002
    assert last - 0.002 < loss.times_millis[-1] / 1000 < over + 0.002
    assert [str(value) for value in stored.values("odd")] == ["nan", "inf"]
    scores = stored.handle.metrics("score")
    assert [(dict(s.context), list(s.points.values)) for s in scores] == [
        ({"fold": str(fold)}, [fold / 10]) for fold in range(3)
    ]
    assert stored.messages("log") == [*map(str, range(1000)), "inside", "in the task"]


def test_what_a_run_is_and_yields_is_stored(programs: Programs, runs: StoredRuns) -> None:
    programs.run(TELLS_EVERYTHING.replace('"everything"', '"all of it"'))

    stored = runs.only("all of it").sealed()
    run = stored.run
    assert (run.project, sorted(run.tags)) == ("vision", ["a", "gpu", "late"])
    assert run.labels == {"team": "x", "stage": "fit"}
    assert (run.notes, run.description) == ("**n**", "one line")
    assert run.parameters["lr"].number_value == 1e-3
    assert [value.number_value for value in run.parameters["layers"].list_value.values] == [3]
    assert (
        run.provenance.configuration.fields["o"].struct_value.fields["name"].string_value == "adamw"
    )
    assert run.provenance.machine.process_id > 0
    assert run.provenance.command[-1].strip().startswith("import logging")
    assert run.provenance.packages["grpcio"]
    assert run.provenance.environment["TRACKSIDE_HOME"]
    assert run.usage.peak_memory_bytes > 0
    (dataset,) = run.provenance.datasets
    assert (dataset.name, dataset.row_count, dataset.size_bytes) == ("numbers", 3, 5)
    assert dataset.fingerprint.startswith("sha256:")
    assert (run.result.best_score, run.result.models_trained_count) == (0.94, 5)
    assert run.progress.message == "Refitting"
    (output,) = stored.handle.outputs()
    assert (output.path, output.kind) == ("model.json", OutputKind.OUTPUT_KIND_MODEL)
    assert (output.size_bytes, output.compressed_bytes, output.exists) == (2, 10, True)
    assert output.checksum.startswith("sha256:44136fa355b3678a")


def test_scopes_tasks_and_their_context_are_stored(programs: Programs, runs: StoredRuns) -> None:
    programs.run(TELLS_EVERYTHING.replace('"everything"', '"its parts"'))

    stored = runs.only("its parts").sealed()
    scopes = {scope.path: scope for scope in stored.run.scopes}
    assert (scopes["variant"].completed_count, scopes["variant"].total_count) == (1, 2)
    fold = scopes["variant/fold"]
    assert (fold.completed_count, fold.message) == (2, "Fitting fold 2/5 - Ridge")
    tasks = stored.tasks
    assert {name: TaskState.Name(task.state)[11:] for name, task in tasks.items()} == {
        "scale inputs": "CACHED",
        "fit": "SUCCEEDED",
        "broken": "FAILED",
    }
    assert "no" in tasks["broken"].attempts[0].error_message
    counts = stored.run.task_counts
    assert (counts.cached, counts.succeeded, counts.failed) == (1, 1, 1)
    inside, in_task = (line for line in stored.lines if line.message.startswith("in"))
    assert inside.context == {"variant": "1", "fold": "1", "model": "Ridge"}
    assert (in_task.context, in_task.task_id) == ({"branch": "b"}, tasks["fit"].task_id)
    assert (inside.level, in_task.level, in_task.entry.logger) == ("ERROR", "WARNING", "mine")


@pytest.mark.parametrize(
    ("name", "ending", "code", "expected"),
    [
        ("ends", "pass", 0, ("COMPLETED", "UNSPECIFIED", 0)),
        ("exits", "sys.exit(3)", 3, ("FAILED", "EXIT_CODE", 3)),
        ("fails", "{}['k']", 1, ("FAILED", "UNCAUGHT_EXCEPTION", 0)),
        (
            "interrupts",
            "os.kill(os.getpid(), signal.SIGINT); time.sleep(60)",
            -signal.SIGINT,
            ("TERMINATED", "INTERRUPTED", 0),
        ),
        (
            "terminates",
            "os.kill(os.getpid(), signal.SIGTERM); time.sleep(60)",
            143,
            ("TERMINATED", "INTERRUPTED", 143),
        ),
    ],
)
def test_a_run_ends_as_its_program_does(
    programs: Programs,
    runs: StoredRuns,
    name: str,
    ending: str,
    code: int,
    expected: tuple[str, str, int],
) -> None:
    ended = programs.run(
        "import os, signal, sys, time, trackside\n"
        f"with trackside.start_run({name!r}) as run, run.scope('fold', total=5):\n"
        f"    print('hello')\n    {ending}"
    )

    assert (ended.code, ended.output) == (code, "hello\n")
    stored = runs.only(name).sealed()
    assert stored.ending == expected
    assert "hello" in stored.messages("stdout")
    if name == "fails":
        error = stored.run.error
        assert (error.kind, error.message, dict(error.context)) == (
            "KeyError",
            "'k'",
            {"fold": "1", "scope": "fold"},
        )
        assert stored.lines[-1].message == "KeyError: 'k'"
        assert stored.lines[-1].context == {"fold": "1", "scope": "fold"}


def test_output_of_children_and_bad_bytes_are_stored(programs: Programs, runs: StoredRuns) -> None:
    programs.run(
        """
        import os, subprocess, trackside
        with trackside.start_run("captures"):
            print("from python", flush=True)
            os.write(2, b"caf\\xe9\\n")
            subprocess.run(["sh", "-c", "echo from a child"])
        """
    )

    stored = runs.only("captures").sealed()
    assert stored.messages("stdout") == ["from python", "from a child"]
    (bad,) = (line.entry for line in stored.lines if line.stream == "stderr")
    assert (bad.message, bad.original) == ("caf\N{REPLACEMENT CHARACTER}", b"caf\xe9")


def test_forked_children_and_workers_report_to_the_run_of_their_parent(
    programs: Programs, runs: StoredRuns
) -> None:
    ended = programs.run(
        """
        import multiprocessing, os, trackside
        def work(number):
            trackside.current_run().log(worker=number)
            trackside.current_run().info(f"worker {number}")
        with trackside.start_run("forks", capture=False) as run:
            run.info("parent")
            pid = os.fork()
            if pid == 0:
                run.log(child=1)
                run.finish()
                os._exit(0)
            os.waitpid(pid, 0)
            with multiprocessing.get_context("fork").Pool(4) as pool:
                pool.map(work, range(20))
                pool.close()
                pool.join()
        """
    )

    assert (ended.code, ended.errors) == (0, "")
    stored = runs.only("forks").sealed()
    assert stored.ending[0] == "COMPLETED"
    # What a worker could not send before it was ended is sent by the home's agent.
    eventually(lambda: stored.values("child") and len(stored.values("worker")) == 20)
    eventually(lambda: len(stored.messages()) == 21)
    assert stored.values("child") == [1.0]
    assert sorted(stored.values("worker")) == list(range(20))
    assert sorted(stored.messages()) == sorted(["parent", *(f"worker {n}" for n in range(20))])


def test_a_launched_program_attaches_to_its_run_and_its_launcher_ends_it(
    installation: WholeInstallation, runs: StoredRuns, tmp_path: Path
) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import sys, trackside\n"
        "with trackside.start_run('inner', tags=['t']) as run:\n"
        "    print('alpha is', run.parameters['alpha'])\n"
        "    run.info('said')\n"
        "    for step in range(100): run.log(x=step)\n"
        "    with run.task('one') as task: task.cached()\n"
        "sys.exit(4)\n"
    )

    followed = installation.command(
        "run", "--name", "launched", "--param", "alpha=0.5", "--", sys.executable, str(script)
    )

    assert followed.code == 4
    assert sorted(followed.out.splitlines()) == ["INFO     said", "alpha is 0.5"]
    stored = runs.only("launched").sealed()
    assert stored.ending == ("FAILED", "EXIT_CODE", 4)
    assert sorted(stored.messages()) == ["alpha is 0.5", "said"]
    assert stored.values("x") == list(range(100))
    assert stored.tasks["one"].state == TaskState.TASK_STATE_CACHED
    assert list(stored.run.tags) == ["t"]
    eventually(lambda: not (installation.home / "spool" / stored.handle.run_id).exists())


def test_a_program_that_reports_its_own_run_is_killed_from_outside(
    installation: WholeInstallation, programs: Programs, runs: StoredRuns
) -> None:
    process = programs.start(
        """
        import subprocess, time, trackside
        with trackside.start_run("to be killed", capture=False) as run:
            task = run.task("open")
            subprocess.Popen(["sleep", "1000"])
            run.flush()
            print("up", flush=True)
            time.sleep(1000)
        """
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"

    killed = installation.command("kill", "--yes", "to be killed")

    _, errors = process.communicate(timeout=60)
    assert (killed.code, process.returncode) == (0, 137)
    assert "this run was killed by" in errors
    stored = runs.only("to be killed").sealed()
    assert stored.ending[:2] == ("TERMINATED", "KILLED")
    assert stored.tasks["open"].state == TaskState.TASK_STATE_ABORTED
    (request,) = stored.run.control_requests
    assert request.HasField("acknowledge_time")
    assert request.HasField("confirm_time")


@pytest.mark.parametrize(
    ("name", "cleaning", "grace", "code"),
    [
        ("to be stopped", "pass", 30.0, -signal.SIGINT),
        ("to be escalated", "time.sleep(1000)", 3.0, 137),
    ],
)
def test_a_program_that_reports_its_own_run_is_stopped_by_a_handle(
    programs: Programs,
    runs: StoredRuns,
    name: str,
    cleaning: str,
    grace: float,
    code: int,
) -> None:
    process = programs.start(
        f"""
        import time, trackside
        with trackside.start_run({name!r}, capture=False) as run:
            task = run.task("open")
            run.flush()
            try:
                print("up", flush=True)
                time.sleep(1000)
            finally:
                run.info("cleaning up")
                {cleaning}
        """
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"

    stopped = runs.only(name).handle.stop(grace=grace)

    process.communicate(timeout=60)
    assert (stopped.state, process.returncode) == ("TERMINATED", code)
    stored = runs.only(name).sealed()
    assert stored.ending[:2] == ("TERMINATED", "STOPPED")
    assert stored.messages("log") == ["cleaning up"]
    (request,) = stored.run.control_requests
    assert request.HasField("acknowledge_time")
    assert request.HasField("confirm_time")
    assert request.HasField("escalate_time") == (code == 137)


def test_a_run_is_launched_followed_and_deleted_by_a_handle(
    installation: WholeInstallation, tmp_path: Path
) -> None:
    with Connection(Location(installation.address, read_token(installation.home), tmp_path)) as to:
        run = launch(
            [sys.executable, "-c", "print('rate is', {rate})"],
            params={"rate": 0.5},
            work_directory=tmp_path,
            connection=to,
        )
        with run.sync_context():
            run.wait(60)

        assert run.state == "COMPLETED"
        assert [line.message for line in run.logs(follow=True)] == ["rate is 0.5"]
        assert run.delete() == 1
        with pytest.raises(NotFoundError):
            run.refresh()


def test_what_people_say_of_a_run_is_changed_by_a_handle(
    installation: WholeInstallation, tmp_path: Path
) -> None:
    with Connection(Location(installation.address, read_token(installation.home), tmp_path)) as to:
        run = launch(["true"], tags=["draft"], labels={"by": "ann"}, connection=to).wait(60)
        run.update(
            name="renamed", notes="too small", add_tags=["keep", "good"], remove_tags="draft"
        )
        changed = get_run("renamed", connection=to).run
        run.update(notes="", labels={"of": "bob"}, add_tags="late")
        with pytest.raises(InvalidRequestError, match="names nothing to change"):
            run.update()

    assert (changed.run_id, changed.notes) == (run.run_id, "too small")
    assert (list(changed.tags), dict(changed.labels)) == (["good", "keep"], {"by": "ann"})
    assert (run.name, run.run.notes) == ("renamed", "")
    assert (list(run.run.tags), dict(run.run.labels)) == (["good", "keep", "late"], {"of": "bob"})


async def test_what_people_say_of_a_run_is_changed_by_an_async_handle(
    installation: WholeInstallation, tmp_path: Path
) -> None:
    with Connection(Location(installation.address, read_token(installation.home), tmp_path)) as to:
        run = AsyncRunHandle(launch(["true"], connection=to))
        await run.update(description="one line", add_tags="keep")
        found = await run.refresh()

    assert (found.run.description, list(found.run.tags)) == ("one line", ["keep"])


def test_an_order_is_of_one_run_whether_python_or_the_shell_gives_it(
    installation: WholeInstallation, tmp_path: Path
) -> None:
    proof = tmp_path / "started"
    command = ["sh", "-c", f"echo once >> '{proof}'"]
    with Connection(Location(installation.address, read_token(installation.home), tmp_path)) as to:
        runs = [launch(command, request_id="monday", connection=to).wait(60) for _ in range(2)]
        words = ("run", "-d", "-o", "name", "--request-id", "monday", "--", *command)
        by_shell = installation.command(*words).out.strip()

    assert {run.run_id for run in runs} == {by_shell}
    assert proof.read_text() == "once\n"


def test_an_interrupted_wait_kills_what_was_launched(
    installation: WholeInstallation, tmp_path: Path
) -> None:
    with Connection(Location(installation.address, read_token(installation.home), tmp_path)) as to:
        run = launch(["sleep", "1000"], work_directory=tmp_path, connection=to)
        run.wait(60, until="RUNNING")

        with pytest.raises(KeyboardInterrupt), run.sync_context():
            raise KeyboardInterrupt

        assert run.status().state == "TERMINATED"


def test_a_protected_run_stays_idle_until_it_is_ended(
    installation: WholeInstallation, programs: Programs, runs: StoredRuns
) -> None:
    programs.run(
        "import trackside\n"
        "with trackside.start_run('protected', termination_protection=True) as run:\n"
        "    run.info('said')"
    )
    stored = runs.only("protected")
    idle = stored.run

    ended = installation.command("kill", "--yes", "protected")

    assert idle.state == RunState.RUN_STATE_IDLE
    assert idle.outcome == RunState.RUN_STATE_COMPLETED
    assert ended.code == 0
    assert stored.sealed().run.state == RunState.RUN_STATE_TERMINATED
    assert stored.run.outcome == RunState.RUN_STATE_COMPLETED
