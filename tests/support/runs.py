"""Runs services for tests, called in process: requests, reports, watchers, agents."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Value

from support.run_views import RunView
from trackside_journal.tasks import closing
from trackside_protos.producers.v1 import batch_pb2
from trackside_protos.runners.v1 import runners_service_pb2
from trackside_protos.runs.v1 import (
    change_pb2,
    report_pb2,
    run_pb2,
    run_state_pb2,
    runs_service_pb2,
    scope_pb2,
    task_pb2,
)
from trackside_protos.watches.v1 import watch_start_pb2
from trackside_runs.bootstrap import RunsApplication, Trust
from trackside_runs.identifiers import new_identifier
from trackside_serving.calls import Call
from trackside_serving.clock import forward_clock
from trackside_serving.home import Home
from trackside_serving.identity import Caller, Role
from trackside_serving.settings import Settings
from trackside_serving.tokens import TokenVerifier

SERVER_ID: Final = "zzzzzzzzzzzzzzzz"
ANN: Final = Caller("ann", Role.USER)
BOB: Final = Caller("bob", Role.USER)
ADMIN: Final = Caller("root", Role.ADMIN)
AGENT: Final = Caller("agents", Role.AGENT)
SDK: Final = "sdk-1"

BEGINNING: Final = watch_start_pb2.WatchStart(position=watch_start_pb2.WATCH_POSITION_BEGINNING)
NOW: Final = watch_start_pb2.WatchStart(position=watch_start_pb2.WATCH_POSITION_NOW)

RunState = run_state_pb2.RunState
PENDING: Final = RunState.RUN_STATE_PENDING
RUNNING: Final = RunState.RUN_STATE_RUNNING
STOPPING: Final = RunState.RUN_STATE_STOPPING
IDLE: Final = RunState.RUN_STATE_IDLE
COMPLETED: Final = RunState.RUN_STATE_COMPLETED
FAILED: Final = RunState.RUN_STATE_FAILED
TERMINATED: Final = RunState.RUN_STATE_TERMINATED

Report = report_pb2.RunReport
Run = run_pb2.Run


def state(state: "RunState.ValueType", **fields: Any) -> Report:
    return Report(state=report_pb2.StateReport(state=state, **fields))


def task(task_id: str, state_name: str, **fields: Any) -> Report:
    """Return a report on a task in the state of a name, such as `RUNNING`."""
    value = task_pb2.TaskState.Value(f"TASK_STATE_{state_name}")
    return Report(task=task_pb2.Task(task_id=task_id, state=value, **fields))


def scope(path: str, completed: int, total: int | None = None, **fields: Any) -> Report:
    told = scope_pb2.Scope(path=path, completed_count=completed, total_count=total, **fields)
    return Report(scope=told)


def beat() -> Report:
    return Report(heartbeat=report_pb2.Heartbeat())


def closed() -> Report:
    return Report(closed=report_pb2.ProducerClosed())


def at(seconds: float, report: Report) -> Report:
    """Return a report of what happened so many seconds after 2023-11-14."""
    report.time.FromMilliseconds(1_700_000_000_000 + round(seconds * 1000))
    return report


def after(cursor: str) -> watch_start_pb2.WatchStart:
    return watch_start_pb2.WatchStart(cursor=cursor)


def last(count: int) -> watch_start_pb2.WatchStart:
    return watch_start_pb2.WatchStart(last=count)


def sweep(parallelism: int = 0, *, is_closed: bool = True, **axes: Sequence[float]) -> Run:
    """Return a parent with a grid."""
    run = Run(name="sweep", is_parent=True, runner="local")
    run.launch.command.extend(["fit", *(f"--{key}={{{key}}}" for key in axes)])
    run.sweep.parallelism = parallelism
    run.sweep.close_after_grid = is_closed
    for key, values in axes.items():
        run.sweep.axes.add(key=key, values=[Value(number_value=value) for value in values])
    return run


def launched(**fields: Any) -> Run:
    """Return a run for an agent."""
    return Run(runner="local", launch=run_pb2.Launch(command=["fit"]), **fields)


async def each(items: Iterable[bytes]) -> AsyncIterator[bytes]:
    for item in items:
        yield item


class ShiftingClock:
    """The present, so many milliseconds later as a test says."""

    def __init__(self) -> None:
        self._real = forward_clock()
        self.shift_ms = 0

    def __call__(self) -> int:
        return self._real() + self.shift_ms

    def advance(self, seconds: float) -> None:
        self.shift_ms += round(seconds * 1000)

    def stand_still(self) -> None:
        """Go on only by what a test advances it, however long the test takes."""
        now_ms = self._real()
        self._real = lambda: now_ms


@dataclass(slots=True)
class Server:
    """One runs service."""

    application: RunsApplication
    clock: ShiftingClock
    verifier: TokenVerifier
    batches: dict[tuple[str, str], int] = field(
        default_factory=lambda: defaultdict[tuple[str, str], int](int)
    )
    """The number of each producer's latest batch."""
    address: str = ""
    """Where it is served, if it is."""

    async def call(self, method: str, request: Message, caller: Caller = ANN) -> Any:
        handlers = {
            name: handler
            for service in self.application.services
            for name, handler in service.handlers.items()
        }
        answer: Awaitable[Any] = handlers[method](request, Call(caller))
        return await answer

    def handler(self, method: str) -> Any:
        runs, runners = self.application.services
        return {**runs.handlers, **runners.handlers}[method]

    async def create(
        self,
        run: Run | None = None,
        *,
        producer_id: str = SDK,
        caller: Caller = ANN,
        **fields: Any,
    ) -> Run:
        """Create a run that reports by itself, or the one that is given.

        It is a moment younger than those before, however quick the machine.
        """
        self.clock.advance(0.001)
        request = runs_service_pb2.CreateRunRequest(run=run or Run(**fields))
        if not request.run.is_parent and not request.run.HasField("launch"):
            request.producer_id = producer_id
        return (await self.call("CreateRun", request, caller)).run

    async def get(self, run_id: str, caller: Caller = ADMIN) -> Run:
        return (
            await self.call("GetRun", runs_service_pb2.GetRunRequest(run_id=run_id), caller)
        ).run

    async def runs(self, filter_: str = "", caller: Caller = ADMIN, **fields: Any) -> list[Run]:
        request = runs_service_pb2.ListRunsRequest(filter=filter_, **fields)
        return list((await self.call("ListRuns", request, caller)).runs)

    async def children(self, parent: Run) -> list[Run]:
        """Return the children of a parent, in order of creation."""
        found = await self.runs(f"parent={parent.run_id}", page_size=1000)
        return sorted(found, key=lambda run: run.name)

    async def kill(self, run_id: str, caller: Caller = ANN) -> Run:
        request = runs_service_pb2.KillRunRequest(run_id=run_id)
        return (await self.call("KillRun", request, caller)).run

    async def stop(self, run_id: str, caller: Caller = ANN, **fields: Any) -> Run:
        request = runs_service_pb2.StopRunRequest(run_id=run_id, **fields)
        return (await self.call("StopRun", request, caller)).run

    async def force_end(self, run_id: str, caller: Caller = ADMIN) -> Run:
        request = runs_service_pb2.ForceEndRunRequest(run_id=run_id)
        return (await self.call("ForceEndRun", request, caller)).run

    async def tasks(self, run_id: str) -> list[task_pb2.Task]:
        """Return all tasks, page by page."""
        request = runs_service_pb2.ListTasksRequest(run_id=run_id, page_size=1000)
        found: list[task_pb2.Task] = []
        while True:
            response = await self.call("ListTasks", request)
            found += response.tasks
            request.page_token = response.next_page_token
            if not request.page_token:
                return found

    async def processes(self, run_id: str, order: str = "") -> list[task_pb2.Process]:
        request = runs_service_pb2.ListProcessesRequest(run_id=run_id, order_by=order)
        return list((await self.call("ListProcesses", request)).processes)

    async def changes(self, run_id: str) -> list[change_pb2.RunChange]:
        request = runs_service_pb2.ListChangesRequest(run_id=run_id, page_size=1000)
        return list((await self.call("ListChanges", request)).changes)

    def batch(
        self,
        run_id: str,
        *reports: Report,
        producer_id: str = SDK,
        sequence: int | None = None,
        epoch: int = 1,
    ) -> bytes:
        """Return the producer's next batch."""
        if sequence is None:
            self.batches[run_id, producer_id] += 1
            sequence = self.batches[run_id, producer_id]
        header = batch_pb2.Batch(
            run_id=run_id, producer_id=producer_id, epoch=epoch, sequence=sequence
        )
        return runs_service_pb2.ReportRunRequest(batch=header, reports=reports).SerializeToString()

    async def send(self, *batches: bytes, caller: Caller = ANN) -> list[batch_pb2.Acknowledgement]:
        """Send batches over one stream and return the acknowledgements."""
        stream = self.handler("ReportRun")(each(batches), Call(caller))
        responses = [runs_service_pb2.ReportRunResponse.FromString(raw) async for raw in stream]
        return [r.acknowledgement for r in responses if r.HasField("acknowledgement")]

    async def report(
        self, run_id: str, *reports: Report, producer_id: str = SDK, caller: Caller = ANN
    ) -> None:
        """Send one batch and wait until it is stored. One that is refused is not counted."""
        raw = self.batch(run_id, *reports, producer_id=producer_id)
        try:
            await self.send(raw, caller=caller)
        except BaseException:
            self.batches[run_id, producer_id] -= 1
            raise

    async def look(self) -> None:
        """Have the watchman look, until it finds nothing more to do; then only when told to."""
        watchman = self.application._watchman
        await watchman._looking.close()
        await watchman.look()

    def watch(
        self,
        run_id: str,
        start: watch_start_pb2.WatchStart | None = None,
        caller: Caller = ANN,
        *,
        task_filter: str = "",
    ) -> "Watcher":
        request = runs_service_pb2.WatchRunRequest(
            run_id=run_id, start=start, task_filter=task_filter
        )
        return Watcher(self.handler("WatchRun")(request, Call(caller)))

    def watch_list(
        self,
        filter_: str = "",
        start: watch_start_pb2.WatchStart | None = None,
        caller: Caller = ANN,
    ) -> "ListWatcher":
        request = runs_service_pb2.WatchRunsRequest(filter=filter_, start=start)
        return ListWatcher(self.handler("WatchRuns")(request, Call(caller)))

    def connect(self, agent_id: str = "agent-1", *, capacity: int = 8, **fields: Any) -> "Agent":
        """Connect an agent that offers the runner `local`."""
        hello = runners_service_pb2.Hello(agent_id=agent_id, host="box", **fields)
        if not hello.runners:
            hello.runners.add(name="local", capacity=capacity)
        agent = Agent(self, agent_id)
        agent.say(hello=hello)
        agent.start()
        return agent


class _Following:
    """A stream that is read in a task of its own. An async context that closes it."""

    def __init__(self, stream: AsyncIterator[bytes]) -> None:
        self._stream = stream
        self._task = asyncio.create_task(self._follow())
        self.error: BaseException | None = None

    async def __aenter__(self) -> Any:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until a condition holds; fails if the stream ends before."""
        while not condition():
            if self._task.done():
                self._task.result()
                assert condition(), "the stream has ended"
                return
            await asyncio.sleep(0.002)

    async def ended(self) -> None:
        """Wait until the stream ends by itself."""
        await self._task

    async def _follow(self) -> None:
        async with closing(self._stream) as stream:
            async for raw in stream:
                self.take(raw)

    def take(self, raw: bytes) -> None:
        raise NotImplementedError


class Watcher(_Following):
    """Collects what a watch of a run sends."""

    def __init__(self, stream: AsyncIterator[bytes]) -> None:
        self.responses: list[runs_service_pb2.WatchRunResponse] = []
        self.view = RunView()
        super().__init__(stream)

    def take(self, raw: bytes) -> None:
        response = runs_service_pb2.WatchRunResponse.FromString(raw)
        self.responses.append(response)
        self.view.take(response)

    @property
    def changes(self) -> list[change_pb2.RunChange]:
        return [change for response in self.responses for change in response.changes]

    @property
    def sequences(self) -> list[int]:
        return [change.sequence for change in self.changes]

    @property
    def has_caught_up(self) -> bool:
        return any(response.caught_up for response in self.responses)

    async def caught_up(self) -> None:
        await self.until(lambda: self.has_caught_up)


class ListWatcher(_Following):
    """Collects what a watch of a list sends."""

    def __init__(self, stream: AsyncIterator[bytes]) -> None:
        self.responses: list[runs_service_pb2.WatchRunsResponse] = []
        self.members: dict[str, Run] = {}
        self.left: list[str] = []
        super().__init__(stream)

    def take(self, raw: bytes) -> None:
        response = runs_service_pb2.WatchRunsResponse.FromString(raw)
        self.responses.append(response)
        for run in response.present:
            self.members[run.run_id] = run
        for change in response.changes:
            if change.left_run_id:
                self.left.append(change.left_run_id)
                self.members.pop(change.left_run_id, None)
            else:
                self.members[change.run.run_id] = change.run

    @property
    def has_caught_up(self) -> bool:
        return any(response.caught_up for response in self.responses)

    async def caught_up(self) -> None:
        await self.until(lambda: self.has_caught_up)

    async def is_the_list(self, server: Server, filter_: str) -> None:
        """Wait until it has shown what the list shows, in which time alone may change runs."""
        while True:
            listed = await server.runs(filter_, page_size=100)
            if sequences(self.members.values()) == sequences(listed):
                return
            await asyncio.sleep(0.002)


def sequences(runs: Iterable[Run]) -> dict[str, int]:
    """Return which runs there are, and how far each has got."""
    return {run.run_id: run.sequence for run in runs}


class Agent(_Following):
    """An agent's connection."""

    def __init__(self, server: Server, agent_id: str) -> None:
        self.server = server
        self.agent_id = agent_id
        self.responses: list[runners_service_pb2.ConnectResponse] = []
        self._requests: asyncio.Queue[bytes] = asyncio.Queue()

    def start(self) -> None:
        super().__init__(self.server.handler("Connect")(self._said(), Call(AGENT)))

    def say(self, **request: Any) -> None:
        raw = runners_service_pb2.ConnectRequest(**request).SerializeToString()
        self._requests.put_nowait(raw)

    def renew(self) -> None:
        self.say(renewal=runners_service_pb2.Renewal())

    def store(self, run_id: str) -> None:
        self.say(launch_stored=runners_service_pb2.LaunchStored(run_id=run_id))

    async def report(self, run_id: str, *reports: Report) -> None:
        await self.server.report(run_id, *reports, producer_id=self.agent_id, caller=AGENT)

    def take(self, raw: bytes) -> None:
        self.responses.append(runners_service_pb2.ConnectResponse.FromString(raw))

    @property
    def assignments(self) -> list[runners_service_pb2.Assignment]:
        return [r.assignment for r in self.responses if r.HasField("assignment")]

    @property
    def assigned(self) -> list[str]:
        return [assignment.run.run_id for assignment in self.assignments]

    @property
    def commands(self) -> list[runners_service_pb2.Command]:
        return [r.command for r in self.responses if r.HasField("command")]

    async def welcomed(self) -> "Agent":
        await self.until(lambda: bool(self.responses))
        return self

    async def given(self, count: int = 1) -> list[str]:
        """Wait for so many assignments and return the runs."""
        await self.until(lambda: len(self.assigned) >= count)
        return self.assigned

    async def _said(self) -> AsyncIterator[bytes]:
        while True:
            yield await self._requests.get()


@dataclass(slots=True)
class Cluster:
    """Two doors to one store: two replicas, or twice the same service where there is but one."""

    one: Server
    other: Server
    clock: ShiftingClock


class Starter:
    """Starts services and ends them with the test."""

    def __init__(self, home: Path, stack: AsyncExitStack) -> None:
        self.home = home
        self.clock = ShiftingClock()
        self._stack = stack
        self._home = Home(home)

    async def start(
        self, database_url: str, redis_url: str | None = None, **settings: Any
    ) -> Server:
        verifier = self._home.verifier()
        server: Server
        application = RunsApplication(
            database_url=database_url,
            redis_url=redis_url,
            settings=Settings.model_validate({"home": self.home, **settings}),
            trust=Trust(SERVER_ID, self._home.signer(), verifier),
            address=lambda: server.address,
            clock_ms=self.clock,
        )
        await application.start()
        self._stack.push_async_callback(application.close)
        server = Server(application, self.clock, verifier)
        return server


def new_run_id() -> str:
    return new_identifier()
