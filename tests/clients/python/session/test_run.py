import hashlib
import logging
import os
import threading
import timeit
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from google.protobuf.json_format import MessageToDict

import trackside
from support.append_server import AppendServer
from support.eventually import eventually
from trackside.location import Location
from trackside_protos.logs.v1.log_entry_pb2 import LogLevel
from trackside_protos.runs.v1.output_pb2 import OutputKind
from trackside_protos.runs.v1.run_state_pb2 import RunState, StateReason
from trackside_protos.runs.v1.task_pb2 import TaskState

pytestmark = pytest.mark.usefixtures("reporting")


def test_a_run_says_what_it_is(append_server: AppendServer) -> None:
    with trackside.start_run(
        "train",
        project="vision",
        params={"lr": 1e-3, "layers": [1, 2]},
        tags=["gpu"],
        labels={"team": "a"},
        notes="# n",
        description="d",
        termination_protection=True,
        parent="p" * 16,
        config={"optimizer": {"name": "adam"}},
        capture=False,
    ) as run:
        assert run.parameters == {"lr": 1e-3, "layers": [1, 2]}

    stored = append_server.only_run()
    created = stored.run
    assert (created.run_id, created.name, created.project) == (run.run_id, "train", "vision")
    assert (list(created.tags), dict(created.labels)) == (["gpu"], {"team": "a"})
    assert (created.notes, created.description) == ("# n", "d")
    assert created.termination_protection
    assert created.parent_run_id == "p" * 16
    assert created.parameters["lr"].number_value == 1e-3
    assert created.heartbeat_interval.seconds == 10
    (first, *_) = [r.provenance for r in stored.reports if r.HasField("provenance")]
    assert MessageToDict(first.configuration) == {"optimizer": {"name": "adam"}}
    assert first.work_directory == str(Path.cwd())
    assert first.machine.runtime.startswith("python 3.")
    assert first.machine.cpu_count > 0
    assert first.command
    assert stored.states == [RunState.RUN_STATE_RUNNING, RunState.RUN_STATE_COMPLETED]
    assert stored.kinds()[-1] == "closed"


def test_the_repository_is_described_in_the_background(append_server: AppendServer) -> None:
    with trackside.start_run(capture=False):
        pass

    sources = [r.provenance.source for r in append_server.only_run().reports]
    assert any(source.repository for source in sources) == (Path.cwd() / ".git").exists()


def test_series_count_their_steps_each(append_server: AppendServer) -> None:
    with trackside.start_run(capture=False) as run:
        run.log(loss=0.5)
        run.log({"loss": 0.4})
        run.log(loss=0.3, step=10)
        run.log(loss=0.2, acc=1)
        run.log(loss=0.1, context={"fold": 1})

    steps = {(b.key, b.context.get("fold")): list(b.steps) for b in append_server.only_run().blocks}
    assert steps == {("loss", None): [0, 1, 10, 11], ("acc", None): [0], ("loss", "1"): [0]}


def test_numbers_of_any_kind_are_points(append_server: AppendServer) -> None:
    array = np.array(1.5)
    with trackside.start_run(capture=False) as run:
        run.log(a=np.float32(0.5), b=array, c=True, d=float("nan"), e=10**400 and 3)
        array += 1

    stored = append_server.only_run()
    assert (stored.values("a"), stored.values("b"), stored.values("c")) == ([0.5], [1.5], [1.0])
    assert len(stored.values("d")) == 1


def test_log_raises_nothing_whatever_it_gets(append_server: AppendServer) -> None:
    class Bad:
        def __float__(self) -> float:
            raise RuntimeError("not a number")

    with trackside.start_run(capture=False) as run:
        run.log(a=Bad())
        run.log(a="text")
        run.log(a=10**400)
        run.log(["no", "mapping"])  # pyright: ignore[reportArgumentType]
        run.log({"": 1, "x\ny": 2, 3: 4}, step="a")  # pyright: ignore[reportArgumentType]
        run.log(a=1, step=1 << 80, context=7)  # pyright: ignore[reportArgumentType]
        run.log(good=1)

    stored = append_server.only_run()
    assert stored.values("good") == [1.0]
    assert stored.values("x_y") == [2.0]
    assert any("log() got what it cannot take" in message for message in stored.messages)


def test_each_thing_that_log_cannot_take_is_complained_of_to_the_last(
    append_server: AppendServer,
) -> None:
    steps: list[Any] = ["x", 1.5, 1 << 80, np.int64(7), 9.0]

    with trackside.start_run(capture=False) as run:
        run.log(a=10**400)
        for step in steps:
            run.log(b=1, step=step)

    stored = append_server.only_run()
    assert [list(block.steps) for block in stored.blocks] == [[0, 1, 2, 7, 9]]
    assert stored.messages == [
        "a point was left out: int too large to convert to float",
        "a step must be a whole number of 64 bits, not 'x'",
        "a step must be a whole number of 64 bits, not 1.5",
        f"a step must be a whole number of 64 bits, not {1 << 80}",
    ]


def test_an_output_that_can_be_none_is_told_in_the_log_and_hurts_nobody(
    append_server: AppendServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    circle = tmp_path / "circle"
    circle.symlink_to(circle)
    whole = tmp_path / "whole.txt"
    whole.write_text("x")
    gone = tmp_path / "gone"
    gone.mkdir()

    with trackside.start_run(capture=False) as run:
        run.output(circle)
        run.output("a\0b")
        run.output("x" * 5_000)
        run.output(b"bytes")  # pyright: ignore[reportArgumentType]
        monkeypatch.chdir(gone)
        gone.rmdir()
        run.output("not-here.txt")
        run.output(whole)

    stored = append_server.only_run()
    told = [message for message in stored.messages if "is not published" in message]
    assert len(told) == 5
    outputs = [report.output.path for report in stored.reports if report.HasField("output")]
    assert set(outputs) == {str(whole)}


def test_many_threads_may_log(append_server: AppendServer) -> None:
    with trackside.start_run(capture=False) as run:
        threads = [
            threading.Thread(target=lambda: [run.log(x=1) for _ in range(1_000)]) for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert len(append_server.only_run().values("x")) == 8_000


def test_entries_carry_the_scopes_around_them(append_server: AppendServer) -> None:
    with trackside.start_run(capture=False) as run:
        run.info("outside")
        with run.scope("variant", total=2), run.scope("fold", total=3, unit="fold") as fold:
            run.info("first", model="Ridge")
            fold.advance(message="Fitting fold 2/3 - Ridge")
            run.warning("second")
            fold.advance(5)
            run.error("beyond")

    stored = append_server.only_run()
    contexts = [dict(entry.context) for entry in stored.entries]
    assert contexts == [
        {},
        {"variant": "1", "fold": "1", "model": "Ridge"},
        {"variant": "1", "fold": "2"},
        {"variant": "1", "fold": "3"},
    ]
    scopes = {r.scope.path: r.scope for r in stored.reports if r.HasField("scope")}
    assert set(scopes) == {"variant", "variant/fold"}
    assert scopes["variant/fold"].completed_count == 6
    assert scopes["variant/fold"].message == "Fitting fold 2/3 - Ridge"
    assert scopes["variant/fold"].HasField("end_time")


def test_tasks_end_as_what_happened_in_them(append_server: AppendServer) -> None:
    with trackside.start_run(capture=False) as run:
        with run.task("preprocess", process="scale") as done:
            run.info("inside")
        with run.task("preprocess 2", process="scale") as hit:
            hit.cached()
        with pytest.raises(OSError, match="broken"), run.task("fit"), run.task("inner"):
            raise OSError("broken")

    stored = append_server.only_run()
    tasks = {r.task.name: r.task for r in stored.reports if r.HasField("task")}
    assert [tasks[name].state for name in ("preprocess", "preprocess 2", "fit", "inner")] == [
        TaskState.TASK_STATE_SUCCEEDED,
        TaskState.TASK_STATE_CACHED,
        TaskState.TASK_STATE_FAILED,
        TaskState.TASK_STATE_FAILED,
    ]
    assert (tasks["preprocess"].process, tasks["fit"].process) == ("scale", "fit")
    assert tasks["inner"].parent_task_id == tasks["fit"].task_id
    assert tasks["inner"].attempts[0].error_message == "OSError: broken"
    assert stored.entries[0].task_id == done.task_id == tasks["preprocess"].task_id


def test_an_exception_is_the_error_report_and_the_last_entry(append_server: AppendServer) -> None:
    def fail_in_a_task() -> None:
        with trackside.start_run(capture=False) as run, run.scope("fold", total=5) as fold:
            fold.advance(2)
            with run.task("fit", context={"model": "Ridge"}):
                raise ValueError("no good")

    with pytest.raises(ValueError, match="no good"):
        fail_in_a_task()

    stored = append_server.only_run()
    (error,) = [r.error for r in stored.reports if r.HasField("error")]
    (task_id,) = {r.task.task_id for r in stored.reports if r.HasField("task")}
    assert (error.kind, error.message, error.task_id) == ("ValueError", "no good", task_id)
    assert dict(error.context) == {"fold": "3", "scope": "fold", "task": "fit"}
    assert 'raise ValueError("no good")' in error.traceback
    last = stored.entries[-1]
    assert (last.level, last.message) == (LogLevel.LOG_LEVEL_ERROR, "ValueError: no good")
    assert dict(last.context) == dict(error.context)
    (state,) = [r.state for r in stored.reports if r.state.state == RunState.RUN_STATE_FAILED]
    assert state.reason == StateReason.STATE_REASON_UNCAUGHT_EXCEPTION


def test_logging_is_taken_up_with_its_extra(append_server: AppendServer) -> None:
    with trackside.start_run() as run:
        with run.scope("fold"):
            logging.getLogger("my.module").warning("so %s", "it is", extra={"user": 7})
        logging.getLogger("grpc.something").error("not ours")

    (entry,) = [e for e in append_server.only_run().entries if e.stream == "log"]
    assert (entry.message, entry.logger) == ("so it is", "my.module")
    assert entry.level == LogLevel.LOG_LEVEL_WARNING
    assert dict(entry.context) == {"fold": "1", "user": "7"}


def test_outputs_have_size_and_checksum(append_server: AppendServer, tmp_path: Path) -> None:
    file = tmp_path / "model.json"
    file.write_text("{}")

    with trackside.start_run(capture=False) as run:
        run.output(file, kind="model", description="the best")
        run.output(tmp_path / "missing")

    outputs = [r.output for r in append_server.only_run().reports if r.HasField("output")]
    final = {Path(output.path).name: output for output in outputs}
    assert final["model.json"].size_bytes == 2
    assert final["model.json"].compressed_bytes == 10
    assert final["model.json"].checksum == f"sha256:{hashlib.sha256(b'{}').hexdigest()}"
    assert final["model.json"].kind == OutputKind.OUTPUT_KIND_MODEL
    assert final["model.json"].media_type == "application/json"
    assert not final["missing"].exists


def test_an_output_that_is_none_breaks_nothing_and_is_complained_of(
    append_server: AppendServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("API_TOKEN", "hush-hush")
    untyped: Any = [tmp_path / "missing-hush-hush", "", 5, __file__]
    kind: Any = "picture"

    with trackside.start_run(capture=False) as run:
        for path in untyped:
            run.output(path, kind=kind)

    stored = append_server.only_run()
    outputs = [r.output for r in stored.reports if r.HasField("output")]
    assert {Path(output.path).name for output in outputs if output.exists} == {"test_run.py"}
    assert stored.messages == [
        f"the output {tmp_path}/missing-******** is not there, or cannot be read",
        "an output is of no kind 'picture'; there are data, report, model",
        "the output '' is not published: its path is empty",
        "the output '5' is not published: expected str, bytes or os.PathLike object, not int",
    ]


def test_results_progress_and_data_sets_are_reported(append_server: AppendServer) -> None:
    with trackside.start_run(capture=False) as run:
        run.progress_message("Fitting fold 3/5 - Ridge")
        run.dataset("digits", np.arange(6.0).reshape(2, 3))
        run.dataset("other", fingerprint="sha256:1", row_count=3)
        run.result(best_score=0.9, best_series="r2", models_trained=150, extra="e")

    stored = append_server.only_run()
    by_kind = {r.WhichOneof("report"): r for r in stored.reports}
    assert by_kind["progress"].progress.message == "Fitting fold 3/5 - Ridge"
    result = by_kind["result"].result
    assert (result.best_score, result.best_series, result.models_trained_count) == (0.9, "r2", 150)
    assert result.values["extra"] == "e"
    datasets = [r.provenance.datasets for r in stored.reports if r.provenance.datasets][-1]
    assert [(d.name, d.row_count) for d in datasets] == [("digits", 2), ("other", 3)]
    assert datasets[0].fingerprint.startswith("sha256:")


def test_the_end_of_one_session_leaves_another_of_the_same_launched_run_connected(
    append_server: AppendServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with trackside.start_run("launched", capture=False) as launched:
        pass
    monkeypatch.setenv("TRACKSIDE_RUN_ID", launched.run_id)
    first, second = (trackside.start_run(capture=False) for _ in range(2))
    assert first.flush(60)
    assert second.flush(60)

    first.finish()
    second.log(after=1)
    second.finish()

    assert append_server.only_run().values("after") == [1.0]


def test_a_launched_program_attaches_to_its_run(
    append_server: AppendServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with trackside.start_run("launched", params={"alpha": 3, "b": 0.5}, capture=False) as launched:
        launched.info("made")
    monkeypatch.setenv("TRACKSIDE_RUN_ID", launched.run_id)

    with trackside.start_run("program", tags=["t"]) as run:
        run.log(loss=1)
        assert run.parameters == {"alpha": 3, "b": 0.5}

    stored = append_server.only_run()
    assert run.run_id == launched.run_id
    (attributes,) = [r.attributes for r in stored.reports if r.HasField("attributes")]
    assert (attributes.workflow_name, list(attributes.tags)) == ("program", ["t"])
    assert stored.values("loss") == [1.0]
    assert stored.producers_closed == 2


def test_offline_runs_are_kept_and_sent_with_the_next(
    append_server: AppendServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRACKSIDE_MODE", "offline")
    with trackside.start_run("away", capture=False) as away:
        away.log(loss=1)
    assert append_server.runs == {}
    monkeypatch.setenv("TRACKSIDE_MODE", "online")

    with trackside.start_run("next", capture=False):
        append_server.wait_for(lambda: len(append_server.runs) == 2)
        append_server.wait_for(lambda: append_server.runs[away.run_id].producers_closed == 1)

    stored = append_server.runs[away.run_id]
    assert stored.values("loss") == [1.0]
    assert stored.states == [RunState.RUN_STATE_RUNNING, RunState.RUN_STATE_COMPLETED]
    assert stored.reports[0].time.ToMilliseconds() <= stored.blocks[0].times_millis[0] + 1


def test_disabled_runs_do_nothing(
    append_server: AppendServer, monkeypatch: pytest.MonkeyPatch, reporting: Location
) -> None:
    monkeypatch.setenv("TRACKSIDE_MODE", "disabled")

    with trackside.start_run("x", params={"a": 1}) as run, run.scope("s") as scope:
        with run.task("t") as task:
            task.cached()
        scope.advance()
        run.log(a=1)
        run.info("x")
        run.output(__file__)
        assert run.parameters == {"a": 1}

    assert append_server.runs == {}
    assert os.listdir(reporting.home) == []  # noqa: PTH208


def test_an_unknown_mode_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACKSIDE_MODE", "sometimes")

    with pytest.raises(ValueError, match="may be one of: online, offline, disabled"):
        trackside.start_run()


def test_what_is_said_after_the_end_is_ignored(append_server: AppendServer) -> None:
    run = trackside.start_run(capture=False)
    run.finish()

    run.log(a=1)
    run.info("late")
    run.finish()

    assert append_server.only_run().entries == []


def test_the_current_run_is_the_newest_open_one() -> None:
    assert trackside.current_run() is None
    with (
        trackside.start_run(capture=False) as outer,
        trackside.start_run(capture=False) as inner,
    ):
        assert trackside.current_run() is inner
        inner.finish()
        assert trackside.current_run() is outer


def test_no_thread_of_ours_is_left_behind() -> None:
    with trackside.start_run() as run:
        run.log(a=1)
        assert run.flush()

    eventually(lambda: not any(t.name.startswith("trackside-") for t in threading.enumerate()))


def test_log_takes_microseconds() -> None:
    with trackside.start_run(capture=False) as run:
        fastest = min(timeit.repeat(lambda: run.log(loss=0.5, step=3), number=1_000, repeat=20))

    assert fastest / 1_000 < 5e-6
