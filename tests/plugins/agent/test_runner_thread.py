"""The thread in which a runner lives."""

import asyncio
from contextlib import suppress

from typing_extensions import override

from support.eventually import eventually
from trackside_agent.runner_thread import RunnerThread
from trackside_plugin_interface import Handle, Reporter, Runner, RunSpec

ROUNDS = 50
"""So often the loop has to turn before something has ended."""


class Leaver(Runner):
    """Begins something that it leaves to itself."""

    def __init__(self) -> None:
        self.left: asyncio.Future[None] | None = None
        self.had_ended = False

    @property
    @override
    def name(self) -> str:
        return "leaver"

    @override
    async def launch(self, spec: RunSpec, reporter: Reporter) -> Handle:
        raise NotImplementedError

    @override
    async def adopt(self, handle: Handle, reporter: Reporter) -> None:
        async def end_slowly() -> None:
            try:
                await asyncio.sleep(600)
            finally:
                for _ in range(ROUNDS):
                    await asyncio.sleep(0)

        self.left = asyncio.ensure_future(end_slowly())
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(600)
        self.left.cancel()

    def note(self) -> None:
        self.had_ended = True

    @override
    async def kill(self, handle: Handle) -> None:
        raise NotImplementedError

    @override
    async def close(self) -> None:
        self.had_ended = self.left is not None and self.left.done()


def test_runner_is_closed_when_all_that_it_does_has_ended() -> None:
    runner = Leaver()
    thread = RunnerThread(runner)
    thread.start()
    thread.begin(lambda: runner.adopt({}, None))  # pyright: ignore[reportArgumentType] - not used
    eventually(lambda: runner.left)

    thread.stop()

    assert runner.had_ended


def test_what_comes_when_the_thread_has_stopped_is_for_the_next_agent() -> None:
    runner = Leaver()
    thread = RunnerThread(runner)
    thread.start()
    thread.stop()

    thread.call(runner.note)
    thread.begin(lambda: runner.adopt({}, None))  # pyright: ignore[reportArgumentType] - not used

    assert runner.left is None
    assert not runner.had_ended
