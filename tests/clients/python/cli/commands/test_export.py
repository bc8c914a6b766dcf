import csv
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path

import grpc
import pytest

from support.command_line import Command
from support.example_runs import CHILD_ID, PARENT_ID, child, log_block, outputs, tasks
from support.scripted_server import HangUntilCancelled, Refused, ScriptedServer
from trackside_protos.logs.v1.logs_service_pb2 import ListLogsResponse
from trackside_protos.metrics.v1.metrics_service_pb2 import WatchMetricsResponse
from trackside_protos.metrics.v1.series_pb2 import PointBlock
from trackside_protos.runs.v1.change_pb2 import RunChange
from trackside_protos.runs.v1.runs_service_pb2 import (
    ListChangesRequest,
    ListChangesResponse,
    ListOutputsResponse,
    ListRunsResponse,
    ListTasksResponse,
)


@pytest.fixture(autouse=True)
def services(server: ScriptedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    block = PointBlock(
        key='loss, "train"',
        context={"fold": "3"},
        steps=[1, 2],
        times_millis=[1_000, 2_000],
        values=[0.5, float("nan")],
    )

    def changes(asked: ListChangesRequest) -> ListChangesResponse:
        kept = [RunChange(sequence=7, run=child()), RunChange(sequence=8)]
        return ListChangesResponse(changes=[c for c in kept if c.sequence > asked.after_sequence])

    server.answers["ListChanges"] = changes
    server.answers["ListLogs"] = ListLogsResponse(blocks=[log_block()])
    server.answers["WatchMetrics"] = [
        WatchMetricsResponse(blocks=[block], cursor="c"),
        WatchMetricsResponse(cursor="d", caught_up=True),
        HangUntilCancelled(),  # the run is at work and will have more
    ]
    server.answers["ListTasks"] = ListTasksResponse(tasks=tasks())
    server.answers["ListOutputs"] = ListOutputsResponse(outputs=outputs())
    server.answers["ListRuns"] = ListRunsResponse(runs=[child()])


def _texts(folder: Path) -> Mapping[str, str]:
    return {file.name: file.read_text("utf-8") for file in folder.iterdir()}


def test_all_of_a_run_is_written(command: Command, tmp_path: Path) -> None:
    done = command("export", CHILD_ID)

    files = _texts(tmp_path / f"trackside-{CHILD_ID}")
    assert (done.code, done.out) == (0, f"trackside-{CHILD_ID}\n")
    assert done.err == (
        f"Exported {CHILD_ID}: changes 2, log lines 3, points 2, tasks 4, outputs 2.\n"
    )
    assert json.loads(files["run.json"])["runId"] == CHILD_ID
    sequences = [json.loads(line)["sequence"] for line in files["changes.jsonl"].splitlines()]
    assert sequences == ["7", "8"]
    assert files["log.txt"].splitlines()[0] == "2026-11-21T11:59:50Z fold 2 done"
    assert json.loads(files["log.jsonl"].splitlines()[1])["context"] == {"fold": "3"}
    assert [json.loads(line)["taskId"] for line in files["tasks.jsonl"].splitlines()][:2] == [
        "load",
        "scale",
    ]
    assert len(files["outputs.jsonl"].splitlines()) == 2


def test_points_can_be_read_back(command: Command, tmp_path: Path) -> None:
    command("export", CHILD_ID, "-o", "here")

    with (tmp_path / "here" / "metrics.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["key"] for row in rows] == ['loss, "train"'] * 2
    assert json.loads(rows[0]["context"]) == {"fold": "3"}
    assert [(row["step"], row["time_millis"], row["value"]) for row in rows] == [
        ("1", "1000", "0.5"),
        ("2", "2000", "nan"),
    ]


def test_an_export_may_be_one_file(command: Command, tmp_path: Path) -> None:
    command("export", CHILD_ID, "-o", "run.zip")

    with zipfile.ZipFile(tmp_path / "run.zip") as archive:
        assert archive.testzip() is None
        assert json.loads(archive.read("run/run.json"))["runId"] == CHILD_ID
    assert [file.name for file in tmp_path.iterdir()] == ["run.zip"]


def test_a_parent_is_exported_with_its_children(command: Command, tmp_path: Path) -> None:
    command("export", PARENT_ID, "-o", "here")

    files = _texts(tmp_path / "here")
    assert json.loads(files["children.jsonl"])["runId"] == CHILD_ID
    assert "tasks.jsonl" not in files


def test_nothing_is_written_over(command: Command, tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()

    done = command("export", CHILD_ID, "-o", "here")

    assert (done.code, done.err.splitlines()[0]) == (
        5,
        "error: here exists already",
    )


def test_an_export_that_fails_leaves_nothing(
    command: Command, server: ScriptedServer, tmp_path: Path
) -> None:
    server.answers["ListOutputs"] = Refused(grpc.StatusCode.INTERNAL)

    assert command("export", CHILD_ID, "-o", "here").code == 1
    assert command("export", CHILD_ID, "-o", "here.zip").code == 1
    assert list(tmp_path.iterdir()) == []
