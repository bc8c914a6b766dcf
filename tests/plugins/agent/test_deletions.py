"""Deletions in an agent whose runner does not do what it should."""

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import pytest
from typing_extensions import override

from support.eventually import eventually
from trackside_agent.agent_folder import AgentFolder
from trackside_agent.deletions import Deletions
from trackside_agent.runner_thread import RunnerThread
from trackside_plugin_interface import (
    DoomedOutput,
    EngineUnavailableError,
    FileUnreadableError,
    Handle,
    Reporter,
    Runner,
    RunSpec,
)
from trackside_protos.runners.v1.runners_service_pb2 import ConnectRequest, DeletionOrder
from trackside_protos.runs.v1 import output_deletion_pb2
from trackside_protos.runs.v1.output_deletion_pb2 import KeptReason, OutputsDeletion
from trackside_runs.validation.requests import check_deletion_report

RUN_ID = "0123456789abcdef"


class OddRunner(Runner):
    """Finds and deletes whatever a test says."""

    def __init__(self, found: Any, deleted: Any = 10) -> None:
        self.found = found
        self.deleted = deleted
        self.asked = 0
        self.examined: list[Handle] = []

    @property
    @override
    def name(self) -> str:
        return "odd"

    @override
    async def launch(self, spec: RunSpec, reporter: Reporter) -> Handle:
        raise NotImplementedError

    @override
    async def adopt(self, handle: Handle, reporter: Reporter) -> None:
        raise NotImplementedError

    @override
    async def kill(self, handle: Handle) -> None:
        raise NotImplementedError

    @override
    async def examine_output(self, doomed: DoomedOutput) -> Handle:
        self.asked += 1
        return cast("Handle", _said(self.found))

    @override
    async def delete_output(self, doomed: DoomedOutput, examined: Handle) -> int:
        self.examined.append(examined)
        return _said(self.deleted)


def _said(what: Any) -> Any:
    if isinstance(what, list):
        what = cast("list[Any]", what).pop(0)
    if isinstance(what, BaseException):
        raise what
    return what


class Held:
    """The deletions of one agent, with one runner."""

    def __init__(self, home: Path, runner: Runner) -> None:
        self.folder = AgentFolder(home)
        self.folder.make()
        self.thread = RunnerThread(runner)
        self.thread.start()
        self.deletions = Deletions(self.folder, lambda _: self.thread)
        self.said: list[ConnectRequest] = []
        self._lock = threading.Lock()

    def say(self, request: ConnectRequest) -> None:
        with self._lock:
            self.said.append(request)

    def result(self) -> OutputsDeletion:
        def results() -> Sequence[OutputsDeletion]:
            told = [one.deletion for one in self.said]
            return [one.result for one in told if one.HasField("result")]

        eventually(lambda: bool(results()))
        for one in self.said:
            # What is refused would cut the line for ever.
            assert not check_deletion_report(one.deletion)
        return results()[-1]


def order(*paths: str) -> DeletionOrder:
    doomed = [output_deletion_pb2.DoomedOutput(path=path, location=f"/w/{path}") for path in paths]
    return DeletionOrder(run_id=RUN_ID, request_id="r1", runner="odd", outputs=doomed, is_last=True)


def carried_out(home: Path, runner: Runner) -> OutputsDeletion:
    held = Held(home, runner)
    try:
        held.deletions.attach(held.say)
        held.deletions.take(order("model"))
        return held.result()
    finally:
        held.thread.stop()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.mark.parametrize(
    "runner",
    [
        OddRunner(RuntimeError("a\nb")),
        OddRunner({"files": b"no JSON"}),
        OddRunner({}, RuntimeError("later")),
        OddRunner({}, -1),
        OddRunner({}, "ten"),
        OddRunner({}, None),
    ],
)
def test_a_runner_at_fault_keeps_the_output(home: Path, runner: OddRunner) -> None:
    told = carried_out(home, runner)

    assert [KeptReason.Name(one.reason) for one in told.kept_outputs] == [
        "KEPT_REASON_RUNNER_FAULT"
    ]
    assert (told.kept_count, told.deleted_count, told.deleted_bytes) == (1, 0, 0)


def test_what_a_runner_says_comes_in_one_short_line(home: Path) -> None:
    told = carried_out(home, OddRunner(FileUnreadableError("a\nb\0\x1b[2J\udcff" * 1000)))

    assert told.kept_outputs[0].message.startswith("a b  [2J")
    assert len(told.kept_outputs[0].message) <= 256


def test_an_engine_that_is_away_is_asked_again(home: Path) -> None:
    runner = OddRunner([EngineUnavailableError("away"), {"a": 1}], [EngineUnavailableError("x"), 7])

    told = carried_out(home, runner)

    assert (told.deleted_count, told.deleted_bytes) == (1, 7)
    assert runner.asked == 2
    assert runner.examined == [{"a": 1}, {"a": 1}]


def test_what_was_examined_is_not_examined_again(home: Path) -> None:
    hanging = OddRunner({"a": 1}, [EngineUnavailableError("away")] * 100)
    first = Held(home, hanging)
    first.deletions.take(order("model"))
    eventually(lambda: bool(hanging.examined))
    first.thread.stop()

    runner = OddRunner({"a": 2})
    second = Held(home, runner)
    second.deletions.attach(second.say)
    second.deletions.start()
    told = second.result()
    second.thread.stop()

    assert (runner.asked, runner.examined) == (0, [{"a": 1}])
    assert told.deleted_bytes == 10


def test_a_line_that_was_cut_off_is_forgotten(home: Path) -> None:
    hanging = OddRunner({"a": 1}, [EngineUnavailableError("away")] * 100)
    first = Held(home, hanging)
    first.deletions.take(order("model"))
    eventually(lambda: bool(hanging.examined))
    first.thread.stop()
    journal = next(first.folder.path.rglob("journal"))
    journal.write_bytes(journal.read_bytes()[:-5])

    runner = OddRunner({"a": 2})
    second = Held(home, runner)
    second.deletions.attach(second.say)
    second.deletions.start()
    second.result()
    second.thread.stop()

    assert (runner.asked, runner.examined) == (1, [{"a": 2}])


def test_a_full_disk_does_not_keep_anything_from_being_deleted(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    held = Held(home, OddRunner({"a": 1}))
    held.deletions.attach(held.say)
    monkeypatch.setattr("trackside_agent.durable.write", full)
    monkeypatch.setattr("os.fsync", full)

    held.deletions.take(order("model", "plot"))
    told = held.result()
    held.thread.stop()

    assert told.deleted_count == 2


@pytest.mark.parametrize("request_id", ["", "..", "a/b", "A", "x" * 65])
def test_what_is_no_request_id_makes_no_folder(home: Path, request_id: str) -> None:
    held = Held(home, OddRunner({}))
    bad = order("model")
    bad.request_id = request_id

    held.deletions.take(bad)
    held.thread.stop()

    assert list((held.folder.path / "deletions").iterdir()) == []
