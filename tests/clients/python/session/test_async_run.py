import asyncio

import pytest

import trackside
from support.append_server import AppendServer
from trackside_protos.runs.v1.run_state_pb2 import RunState, StateReason

pytestmark = pytest.mark.usefixtures("reporting")


async def test_a_run_may_be_opened_asynchronously(append_server: AppendServer) -> None:
    async with trackside.start_run("train", capture=False) as run:
        run.log(loss=0.5)

    stored = append_server.only_run()
    assert stored.values("loss") == [0.5]
    assert stored.states[-1] == RunState.RUN_STATE_COMPLETED
    assert stored.producers_closed == 1


async def test_others_go_on_while_its_end_is_delivered(append_server: AppendServer) -> None:
    held = asyncio.Event()
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()

    async def end() -> None:
        async with trackside.start_run(capture=False) as run:
            assert run._reporter is not None
            waiting = asyncio.run_coroutine_threadsafe
            run._reporter.errands.add(lambda: waiting(held.wait(), loop).result() and None)
        ended.set()

    task = asyncio.create_task(end())
    for _ in range(10):
        await asyncio.sleep(0.01)
    assert not ended.is_set()
    held.set()
    await task

    assert append_server.only_run().producers_closed == 1


async def test_a_cancelled_run_was_interrupted(append_server: AppendServer) -> None:
    async def work() -> None:
        async with trackside.start_run(capture=False):
            await asyncio.sleep(1_000)

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    (*_, last) = [r.state for r in append_server.only_run().reports if r.HasField("state")]
    assert last.state == RunState.RUN_STATE_TERMINATED
    assert last.reason == StateReason.STATE_REASON_INTERRUPTED
