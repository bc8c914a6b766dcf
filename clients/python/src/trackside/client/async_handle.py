"""The asynchronous face of the handle: each call is one of the handle, in a thread of its own."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from trackside.client.async_output import AsyncRunOutput
from trackside.client.connection import Connection
from trackside.client.deletions import OutputsDeletion
from trackside.client.errors import ConflictError
from trackside.client.handle import RunHandle, get_run, list_runs
from trackside.client.in_thread import each_in_thread, in_thread
from trackside.client.log_lines import LogLine
from trackside.client.metrics import Metrics
from trackside.client.outputs import Outputs
from trackside.client.status import RunStatus
from trackside_protos.metrics.v1.series_pb2 import Series
from trackside_protos.runs.v1.run_pb2 import Run
from trackside_protos.runs.v1.task_pb2 import Process, Task, TaskState

Result = TypeVar("Result")
Item = TypeVar("Item")


class AsyncRunHandle:
    """A handle to one run, whose methods that ask the server are to be awaited.

    What they take, return and raise is said by those of `RunHandle`. A cancelled wait ends;
    what was asked of the server stays asked.
    """

    def __init__(self, handle: RunHandle) -> None:
        self._handle = handle

    def __repr__(self) -> str:
        return f"<AsyncRunHandle {self.run_id} {self.state} {self.name!r}>"

    def _repr_html_(self) -> str:
        """Return a card for notebooks, of the run as it was when last asked for."""
        return self._handle._repr_html_()  # pyright: ignore[reportPrivateUsage] - the name that notebooks call

    @property
    def run_id(self) -> str:
        """The run's id."""
        return self._handle.run_id

    @property
    def name(self) -> str:
        """What people call it."""
        return self._handle.name

    @property
    def run(self) -> Run:
        """The whole run as it was when last asked for."""
        return self._handle.run

    @property
    def state(self) -> str:
        """The state when last asked for, for example `RUNNING`."""
        return self._handle.state

    @property
    def actions(self) -> tuple[str, ...]:
        """What might be done with it when last asked for, for example `("KILL", "UPDATE")`."""
        return self._handle.actions

    async def refresh(self) -> "AsyncRunHandle":
        """Ask for the run as it is now, and return this handle."""
        await self._ask(RunHandle.refresh)
        return self

    async def status(self) -> RunStatus:
        """Ask how the run stands now."""
        return await self._ask(RunHandle.status)

    async def wait(
        self,
        timeout: float | None = None,  # noqa: ASYNC109 - as the handle has
        *,
        until: str | Iterable[str] = (),
    ) -> "AsyncRunHandle":
        """Wait until the work is over, or the run is in one of the states `until`."""
        await self._ask(lambda handle: handle.wait(timeout, until=until))
        return self

    async def update(self, **changes: Any) -> "AsyncRunHandle":  # noqa: ANN401 - as the handle has
        """Change what people say of the run, during it or after; see `RunHandle.update`."""
        await self._ask(lambda handle: handle.update(**changes))
        return self

    async def stop(
        self,
        grace: float | None = None,
        timeout: float | None = 60.0,  # noqa: ASYNC109 - as the handle has
        *,
        wait: bool = True,
    ) -> "AsyncRunHandle":
        """Let the run clean up and end, and wait for the proof that it has."""
        await self._ask(lambda handle: handle.stop(grace, timeout, wait=wait))
        return self

    async def kill(
        self,
        timeout: float | None = 60.0,  # noqa: ASYNC109 - as the handle has
        *,
        wait: bool = True,
    ) -> "AsyncRunHandle":
        """End the run at once, and wait for the proof that no process of it is left."""
        await self._ask(lambda handle: handle.kill(timeout, wait=wait))
        return self

    async def delete(self) -> int:
        """Remove the ended run and all it owns for good; say how many, with its children."""
        return await self._ask(RunHandle.delete)

    async def delete_outputs(
        self,
        confirmation: str,
        *paths: str,
        timeout: float | None = 60.0,  # noqa: ASYNC109 - as the handle has
        wait: bool = True,
    ) -> OutputsDeletion:
        """Delete published files where they are, and wait until the run's agent confirms it."""
        return await self._ask(
            lambda handle: handle.delete_outputs(confirmation, *paths, timeout=timeout, wait=wait)
        )

    @asynccontextmanager
    async def sync_context(self) -> AsyncGenerator["AsyncRunHandle"]:
        """Tie the run to what is done here: if that is interrupted or cancelled, kill the run."""
        try:
            yield self
        except BaseException as error:
            if not isinstance(error, Exception):
                with suppress(ConflictError):  # it has ended meanwhile
                    await self.kill()
            raise

    def logs(self, **chosen: Any) -> AsyncGenerator[LogLine]:  # noqa: ANN401 - as `RunHandle.logs`
        """Yield entries of the run's log, in order; takes what `RunHandle.logs` takes."""
        return self._each(lambda handle: handle.logs(**chosen))

    async def series(self, *keys: str, prefix: str = "") -> list[Series]:
        """Return what is known of the run's series: last, best, mean, count and so on."""
        return await self._ask(lambda handle: handle.series(*keys, prefix=prefix))

    async def metrics(self, *keys: str, **chosen: Any) -> Metrics:  # noqa: ANN401 - as the handle
        """Return the points of series; takes what `RunHandle.metrics` takes."""
        return await self._ask(lambda handle: handle.metrics(*keys, **chosen))

    def tasks(
        self,
        *states: "TaskState.ValueType",
        process: str = "",
        filter_text: str = "",
        order_by: str = "",
    ) -> AsyncGenerator[Task]:
        """Yield the run's tasks that match, in order of creation unless asked otherwise."""
        return self._each(
            lambda handle: handle.tasks(
                *states, process=process, filter_text=filter_text, order_by=order_by
            )
        )

    async def processes(self) -> Sequence[Process]:
        """Return the run's tasks counted by the named node they belong to."""
        return await self._ask(RunHandle.processes)

    async def outputs(self) -> Outputs[AsyncRunOutput]:
        """Return the files that the run published; printed, they are a table."""
        return Outputs(map(AsyncRunOutput, await self._ask(RunHandle.outputs)))

    async def download(self, directory: str | Path = "", **chosen: bool) -> Sequence[Path]:
        """Have all published files on this machine; takes what `RunHandle.download` takes."""
        return await self._ask(lambda handle: handle.download(directory, **chosen))

    async def children(self) -> AsyncIterator["AsyncRunHandle"]:
        """Yield the children of a parent in order of creation."""
        async with aclosing(self._each(RunHandle.children)) as children:
            async for child in children:
                yield AsyncRunHandle(child)

    async def _ask(self, act: Callable[[RunHandle], Result]) -> Result:
        handle = self._handle.copy()  # each call is interrupted by itself
        try:
            return await in_thread(lambda: act(handle), handle.interrupt)
        finally:
            self._handle = handle

    def _each(self, begin: Callable[[RunHandle], Iterator[Item]]) -> AsyncGenerator[Item]:
        handle = self._handle.copy()
        return each_in_thread(lambda: begin(handle), handle.interrupt)


async def get_async_run(run: str, *, connection: Connection | None = None) -> AsyncRunHandle:
    """Return a handle to a run, by its id, a unique beginning of it, its name, or `@latest`.

    Raises:
        NotFoundError: There is none, or none that you may see.
        AmbiguousNameError: Several fit.
    """
    return AsyncRunHandle(await in_thread(lambda: get_run(run, connection=connection)))


async def list_async_runs(
    filter_text: str = "",
    *,
    order_by: str = "",
    limit: int | None = None,
    connection: Connection | None = None,
) -> AsyncIterator[AsyncRunHandle]:
    """Yield handles to the runs that match a filter, newest first unless asked otherwise."""
    found = each_in_thread(
        lambda: list_runs(filter_text, order_by=order_by, limit=limit, connection=connection)
    )
    async with aclosing(found):
        async for handle in found:
            yield AsyncRunHandle(handle)
