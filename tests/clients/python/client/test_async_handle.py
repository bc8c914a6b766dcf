import asyncio
import threading
from pathlib import Path

import pytest

import trackside
import trackside.aio
from support.eventually import eventually
from support.published_files import PublishedFiles
from support.scripted_server import HangUntilCancelled, ScriptedServer
from trackside.aio import RunHandle, get_run
from trackside.client.connection import Connection
from trackside.client.errors import CallTimeoutError, NotFoundError
from trackside_protos.logs.v1.log_entry_pb2 import LogBlock, LogEntry
from trackside_protos.logs.v1.logs_service_pb2 import WatchLogsResponse
from trackside_protos.runs.v1.change_pb2 import RunChange, RunSnapshot
from trackside_protos.runs.v1.output_pb2 import Output
from trackside_protos.runs.v1.run_pb2 import Run
from trackside_protos.runs.v1.run_state_pb2 import RunState
from trackside_protos.runs.v1.runs_service_pb2 import (
    CreateRunResponse,
    GetRunResponse,
    KillRunResponse,
    ListOutputsResponse,
    ListRunsResponse,
    WatchRunResponse,
)

ID = "7k2m000000000000"
RUNNING = Run(run_id=ID, name="ridge", state=RunState.RUN_STATE_RUNNING)
ENDED = Run(run_id=ID, name="ridge", state=RunState.RUN_STATE_TERMINATED)


@pytest.fixture
async def handle(server: ScriptedServer, connection: Connection) -> RunHandle:
    server.answers["GetRun"] = GetRunResponse(run=RUNNING)
    return await get_run(ID, connection=connection)


def becoming(*runs: Run) -> list[WatchRunResponse | Exception]:
    told = [WatchRunResponse(snapshot=RunSnapshot(run=RUNNING), cursor="c0")]
    told += [WatchRunResponse(changes=[RunChange(run=run)], cursor="c") for run in runs]
    return [*told, HangUntilCancelled()]


def waiting_threads() -> list[str]:
    return [t.name for t in threading.enumerate() if t.name.startswith("trackside-wait")]


def test_the_names_are_those_of_the_package() -> None:
    assert trackside.aio.__all__ == trackside.__all__


async def test_many_waits_go_on_beside_one_another(
    server: ScriptedServer, handle: RunHandle
) -> None:
    server.answers["WatchRun"] = becoming(ENDED)

    waited = await asyncio.gather(*(handle.wait(timeout=60) for _ in range(12)))

    assert {each.state for each in waited} == {"TERMINATED"}
    assert handle.state == "TERMINATED"


async def test_a_cancelled_wait_ends(server: ScriptedServer, handle: RunHandle) -> None:
    server.answers["WatchRun"] = becoming()

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(handle.wait(), 0.2)

    eventually(lambda: not waiting_threads())


async def test_a_wait_ends_in_time(server: ScriptedServer, handle: RunHandle) -> None:
    server.answers["WatchRun"] = becoming()

    with pytest.raises(CallTimeoutError):
        await handle.wait(timeout=0.05)


async def test_a_cancelled_context_kills_the_run(server: ScriptedServer, handle: RunHandle) -> None:
    server.answers["KillRun"] = KillRunResponse(run=RUNNING)
    server.scripts["WatchRun"] = [becoming(), becoming(ENDED)]

    async def work() -> None:
        async with handle.sync_context():
            await handle.wait()

    task = asyncio.create_task(work())
    await asyncio.to_thread(eventually, lambda: server.requests["WatchRun"])
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert len(server.requests["KillRun"]) == 1
    assert handle.state == "TERMINATED"


async def test_followed_logs_come_one_by_one(server: ScriptedServer, handle: RunHandle) -> None:
    entries = [LogEntry(message="a"), LogEntry(message="b"), LogEntry(message="c")]
    block = LogBlock(first_sequence=1, entries=entries)
    server.answers["WatchLogs"] = [
        WatchLogsResponse(blocks=[block], cursor="l1"),
        HangUntilCancelled(),
    ]
    seen: list[str] = []

    lines = handle.logs(follow=True)
    async for line in lines:
        seen.append(line.message)
        if len(seen) == 2:
            break
    await lines.aclose()

    assert seen == ["a", "b"]
    eventually(lambda: not waiting_threads())


async def test_outputs_are_read_and_downloaded(
    server: ScriptedServer, handle: RunHandle, tmp_path: Path
) -> None:
    files = PublishedFiles(server)
    files.publish("a.txt", b"0123456789")
    files.publish("folder", {"b": b"b"})

    output, folder = await handle.outputs()

    assert await output.read(2, 3) == b"234"
    assert b"".join([piece async for piece in output.pieces()]) == b"0123456789"
    assert await folder.files() == ["b"]
    assert await output.download(tmp_path) == tmp_path / "a.txt"
    assert await handle.download(tmp_path / "all") == [
        tmp_path / "all" / name for name in ("a.txt", "folder")
    ]
    assert (tmp_path / "all" / "folder" / "b").read_bytes() == b"b"


async def test_a_cancelled_read_ends(server: ScriptedServer, handle: RunHandle) -> None:
    files = PublishedFiles(server)
    files.publish("a.txt", b"0123456789")
    [output] = await handle.outputs()
    server.answers["ReadOutput"] = [HangUntilCancelled()]
    reading = asyncio.create_task(output.read())
    await asyncio.to_thread(eventually, lambda: server.requests["ReadOutput"])

    reading.cancel()

    with pytest.raises(asyncio.CancelledError):
        await reading
    eventually(lambda: not waiting_threads())


async def test_everything_else_is_the_handles(
    server: ScriptedServer, connection: Connection, handle: RunHandle
) -> None:
    server.answers["ListOutputs"] = ListOutputsResponse(outputs=[Output(path="model.pt")])
    server.answers["ListRuns"] = ListRunsResponse(runs=[Run(run_id="child")])
    server.answers["CreateRun"] = lambda asked: CreateRunResponse(run=asked.run)

    status, outputs = await asyncio.gather(handle.status(), handle.outputs())
    children = [child.run_id async for child in handle.children()]
    listed = [run.run_id async for run in trackside.aio.list_runs(connection=connection)]
    launched = await trackside.aio.launch("true", run_id=ID, connection=connection)

    assert (status.state, [output.path for output in outputs]) == ("RUNNING", ["model.pt"])
    assert children == listed == ["child"]
    assert launched.run_id == ID


async def test_errors_are_those_of_the_handle(
    server: ScriptedServer, connection: Connection
) -> None:
    server.answers["ListRuns"] = ListRunsResponse()

    with pytest.raises(NotFoundError):
        await get_run("nothing", connection=connection)
