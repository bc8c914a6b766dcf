"""A whole agent that is ordered to delete outputs, by a server in memory."""

import hashlib
import sys
from pathlib import Path
from typing import Final

import pytest

from support.agents import AgentProcess, new_run_id
from support.control_room import ControlRoom
from support.folders import paths_below
from trackside_protos.runners.v1.runners_service_pb2 import DeletionOrder
from trackside_protos.runs.v1.output_deletion_pb2 import (
    DoomedOutput,
    KeptReason,
    OutputDirectory,
    OutputsDeletion,
)
from trackside_runner_local.directories import directory_record

pytestmark = pytest.mark.end_to_end

CONTENTS: Final = b"0123456789"


def doomed(folder: Path, name: str) -> DoomedOutput:
    """Return an output that is there, or as if it had been."""
    path = folder / name
    contents = path.read_bytes() if path.is_file() else CONTENTS
    return DoomedOutput(
        path=name,
        location=str(path),
        size_bytes=len(contents),
        checksum=f"sha256:{hashlib.sha256(contents).hexdigest()}",
        sequence=7,
    )


def order(folder: Path, *names: str, runner: str = "local") -> DeletionOrder:
    recorded = directory_record(str(folder), Path("/nowhere/run"))
    directory = OutputDirectory(path=str(recorded["path"]), identity=str(recorded["identity"]))
    return DeletionOrder(
        run_id=new_run_id(),
        request_id=new_run_id(),
        runner=runner,
        directory=directory,
        outputs=[doomed(folder, name) for name in names],
        is_last=True,
    )


def result(room: ControlRoom, ordered: DeletionOrder) -> OutputsDeletion:
    """Wait until an agent has told what came of a deletion, and return it."""
    room.wait(lambda: any(one.HasField("result") for one in room.deletion(ordered.request_id)))
    return next(one for one in room.deletion(ordered.request_id) if one.HasField("result")).result


def absent(room: ControlRoom, ordered: DeletionOrder) -> list[str]:
    """Return what was said not to have been there."""
    reports = room.deletion(ordered.request_id)
    return [one.path for report in reports for one in report.gone_outputs if one.absent]


def gone(room: ControlRoom, ordered: DeletionOrder) -> set[tuple[str, int]]:
    reports = room.deletion(ordered.request_id)
    return {(one.path, one.sequence) for report in reports for one in report.gone_outputs}


def folder_of(agent: AgentProcess, ordered: DeletionOrder) -> Path:
    return agent.home / "agent" / "deletions" / ordered.request_id


@pytest.fixture
def work(tmp_path: Path) -> Path:
    folder = tmp_path / "work"
    folder.mkdir()
    for name in ("model", "plot", "other"):
        (folder / name).write_bytes(CONTENTS)
    return folder


def test_what_was_ordered_is_deleted_and_told(
    agent: AgentProcess, room: ControlRoom, work: Path
) -> None:
    agent.start()
    ordered = order(work, "model", "plot", "gone")

    room.order(ordered)
    told = result(room, ordered)

    assert (told.deleted_count, told.deleted_bytes, told.absent_count) == (2, 20, 1)
    assert told.kept_count == 0
    assert gone(room, ordered) == {("model", 7), ("plot", 7), ("gone", 7)}
    assert absent(room, ordered) == ["gone"]
    assert [path.name for path in work.iterdir()] == ["other"]


def test_an_order_is_acknowledged_once_it_is_stored(
    agent: AgentProcess, room: ControlRoom, work: Path
) -> None:
    agent.start()
    ordered = order(work, "model")

    room.order(ordered)
    result(room, ordered)

    first = room.deletion(ordered.request_id)[0]
    assert (first.run_id, first.request_id) == (ordered.run_id, ordered.request_id)
    assert not first.HasField("result")
    assert not first.gone_outputs
    assert folder_of(agent, ordered).is_dir()


def test_what_is_noted_is_forgotten(agent: AgentProcess, room: ControlRoom, work: Path) -> None:
    agent.start()
    ordered = order(work, "model")
    room.order(ordered)
    result(room, ordered)

    room.note_deleted(ordered.request_id)

    room.wait(lambda: not folder_of(agent, ordered).exists())


def test_the_result_is_told_again_until_it_is_noted(
    agent: AgentProcess, room: ControlRoom, work: Path
) -> None:
    agent.start()
    ordered = order(work, "model")
    room.order(ordered)
    first = result(room, ordered)

    room.stop()
    agent.kill()
    (work / "model").write_bytes(CONTENTS)  # as another run may do: what is done is done once
    count = len(room.deletion(ordered.request_id))
    room.start()
    agent.start()
    room.wait(lambda: len(room.deletion(ordered.request_id)) >= count + 2)

    assert result(room, ordered) == room.deletion(ordered.request_id)[-1].result == first
    assert (work / "model").exists()


def test_an_order_in_pages_is_carried_out_when_it_is_complete(
    agent: AgentProcess, room: ControlRoom, work: Path
) -> None:
    agent.start()
    whole = order(work, "model", "plot")
    pages = [DeletionOrder(), DeletionOrder()]
    for number, page in enumerate(pages):
        page.CopyFrom(whole)
        page.is_last = bool(number)
        del page.outputs[:]
        page.outputs.append(whole.outputs[number])

    room.order(*pages)

    assert result(room, whole).deleted_count == 2
    assert gone(room, whole) == {("model", 7), ("plot", 7)}


def test_what_is_kept_is_told_with_the_reason(
    agent: AgentProcess, room: ControlRoom, work: Path
) -> None:
    agent.start()
    (work / "link").symlink_to("other")
    ordered = order(work, "model", "link", "plot")
    outside = doomed(work.parent, "elsewhere")
    ordered.outputs.append(outside)
    (work / "model").write_bytes(CONTENTS[::-1])

    room.order(ordered)
    told = result(room, ordered)

    assert {one.path: KeptReason.Name(one.reason) for one in told.kept_outputs} == {
        "model": "KEPT_REASON_CHANGED",
        "link": "KEPT_REASON_NOT_REGULAR",
        "elsewhere": "KEPT_REASON_OUTSIDE",
    }
    assert (told.deleted_count, told.kept_count) == (1, 3)
    assert gone(room, ordered) == {("plot", 7)}
    assert sorted(path.name for path in work.iterdir()) == ["link", "model", "other"]


def test_of_many_that_are_kept_some_are_told(
    agent: AgentProcess, room: ControlRoom, work: Path
) -> None:
    agent.start()
    for number in range(20):
        (work / f"link{number:02}").symlink_to("other")

    ordered = order(work, *(f"link{number:02}" for number in range(20)))
    room.order(ordered)
    told = result(room, ordered)

    assert told.kept_count == 20
    assert [one.path for one in told.kept_outputs] == [f"link{number:02}" for number in range(16)]


@pytest.mark.parametrize(
    ("runner", "reason"),
    [("no-such-runner", "KEPT_REASON_UNSUPPORTED"), ("local", "KEPT_REASON_UNSAFE_DIRECTORY")],
)
def test_nothing_is_deleted_where_it_cannot_or_must_not_be(
    agent: AgentProcess, room: ControlRoom, work: Path, runner: str, reason: str
) -> None:
    agent.start()
    ordered = order(work, "model", runner=runner)
    if runner == "local":
        (agent.home / "mine").mkdir()
        (agent.home / "mine" / "model").write_bytes(CONTENTS)
        ordered = order(agent.home / "mine", "model")

    room.order(ordered)
    told = result(room, ordered)

    assert [KeptReason.Name(one.reason) for one in told.kept_outputs] == [reason]
    assert not gone(room, ordered)


def test_an_agent_that_is_killed_in_the_midst_goes_on(
    agent: AgentProcess, room: ControlRoom, work: Path
) -> None:
    names = [f"many/{number}" for number in range(1_200)]
    (work / "many").mkdir()
    for name in names:
        (work / name).write_bytes(CONTENTS)
    ordered = order(work, *names)
    agent.start()

    room.order(ordered)
    for left in (1_100, 600, 100):
        room.wait(lambda left=left: len(paths_below(work / "many")) < left)
        agent.kill()
        agent.start()
    told = result(room, ordered)

    assert told.deleted_count + told.absent_count == len(names)
    assert told.absent_count == 0  # what was examined was there, whoever it was that deleted it
    assert told.deleted_bytes == len(names) * len(CONTENTS)
    assert gone(room, ordered) == {(name, 7) for name in names}
    assert not (work / "many").exists()
    assert sorted(path.name for path in work.iterdir()) == ["model", "other", "plot"]


def test_a_launched_run_says_where_its_outputs_are(
    agent: AgentProcess, room: ControlRoom, work: Path
) -> None:
    agent.start()
    run = agent.new_run([sys.executable, "-c", "pass"])
    run.launch.work_directory = str(work)
    room.assign(run)
    unsafe = agent.run("pass")  # in the agent's own home

    room.wait(lambda: room.told(run.run_id).ending is not None)
    room.wait(lambda: room.told(unsafe).ending is not None)

    [directory] = room.told(run.run_id).directories
    recorded = directory_record(str(work), Path("/nowhere/run"))
    assert (directory.path, directory.identity) == (recorded["path"], recorded["identity"])
    assert directory.hazard == ""
    assert (
        room.told(unsafe).directories[0].hazard == "it is or holds what Trackside keeps of its runs"
    )
