"""Words on control requests for the tests of RunsService: steps, results, a session's stream."""

import asyncio

from support.conditions import until
from support.runs import (
    RUNNING,
    Agent,
    Report,
    Run,
    Server,
    launched,
    state,
)
from trackside_protos.runs.v1 import report_pb2, run_pb2, run_state_pb2, runs_service_pb2
from trackside_serving.calls import Call
from trackside_serving.identity import Caller, Role

KILLED = run_state_pb2.STATE_REASON_KILLED
ACKNOWLEDGED = report_pb2.CONTROL_STEP_ACKNOWLEDGED
CONFIRMED = report_pb2.CONTROL_STEP_CONFIRMED
STOPPED = run_state_pb2.STATE_REASON_STOPPED
UNCONFIRMED = run_state_pb2.STATE_REASON_UNCONFIRMED
ESCALATED = report_pb2.CONTROL_STEP_ESCALATED
KILLING = run_state_pb2.CONDITION_KIND_KILLING
ENDED = run_pb2.CONTROL_RESULT_ENDED
NOTHING_FOUND = run_pb2.CONTROL_RESULT_NOTHING_FOUND
NOT_PROVEN = run_pb2.CONTROL_RESULT_UNCONFIRMED
TIMES = ("request_time", "deliver_time", "acknowledge_time", "confirm_time")


def step(request_id: str, step: report_pb2.ControlStep.ValueType, **fields: bool) -> Report:
    return Report(control=report_pb2.ControlReport(request_id=request_id, step=step, **fields))


def results(run: Run) -> list[int]:
    return [request.result for request in run.control_requests]


def conditions(run: Run) -> list[int]:
    return [condition.kind for condition in run.conditions]


def steps(run: Run) -> list[str]:
    """Return the times that the run's only control request has."""
    [request] = run.control_requests
    return [name for name in TIMES if request.HasField(name)]  # pyright: ignore[reportArgumentType] - names of fields


class Session:
    """An SDK session that keeps its stream open."""

    def __init__(self, server: Server, run_id: str) -> None:
        self.server = server
        self.run_id = run_id
        self.asked: list[runs_service_pb2.ReportRunResponse] = []
        self._batches: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._task = asyncio.create_task(self._talk())

    def report(self, *reports: Report) -> None:
        self._batches.put_nowait(self.server.batch(self.run_id, *reports))

    async def request_id(self) -> str:
        await until(lambda: bool(self.asked))
        return self.asked[0].control.request_id

    async def end(self) -> None:
        self._batches.put_nowait(None)
        await self._task

    async def _talk(self) -> None:
        async def batches():  # noqa: ANN202 - bytes
            while (raw := await self._batches.get()) is not None:
                yield raw

        caller = Caller("ann", Role.USER)
        async for raw in self.server.handler("ReportRun")(batches(), Call(caller)):
            response = runs_service_pb2.ReportRunResponse.FromString(raw)
            if response.HasField("control"):
                self.asked.append(response)


async def running(server: Server, agent: Agent, run: Run | None = None) -> Run:
    """Return a launched run that its agent says is running."""
    run = await server.create(run or launched())
    await agent.until(lambda: run.run_id in agent.assigned)
    agent.store(run.run_id)
    await agent.report(run.run_id, state(RUNNING))
    return run


async def until_state(server: Server, run: Run, wanted: int) -> None:
    while (await server.get(run.run_id)).state != wanted:  # noqa: ASYNC110 - the store has no event
        await asyncio.sleep(0.002)
