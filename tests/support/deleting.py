"""Deleting outputs in tests of RunsService: the request, and the agent that carries it out."""

import asyncio
from collections.abc import Sequence
from typing import Any, Final

from support.reads import output
from support.runs import ANN, COMPLETED, Agent, Report, Run, Server, closed, launched, state
from trackside_protos.runners.v1.runners_service_pb2 import DeletionOrder, DeletionReport
from trackside_protos.runs.v1.output_deletion_pb2 import (
    GoneOutput,
    OutputDirectory,
    OutputsDeletion,
)
from trackside_protos.runs.v1.output_pb2 import Output
from trackside_protos.runs.v1.run_pb2 import ControlRequest
from trackside_protos.runs.v1.runs_service_pb2 import (
    DeleteOutputsRequest,
    DeleteOutputsResponse,
    ListOutputsRequest,
)
from trackside_serving.identity import Caller

WORD: Final = "delete"


def directory(path: str = "/data", **fields: str) -> Report:
    """Return a report on where a run's outputs are."""
    return Report(output_directory=OutputDirectory(path=path, identity="1:2", **fields))


async def ended(server: Server, agent: Agent, *reports: Report, **fields: Any) -> Run:
    """Return a run of an agent that has ended; with two outputs unless told otherwise."""
    run = await server.create(launched(**fields))
    await agent.until(lambda: run.run_id in agent.assigned)
    agent.store(run.run_id)
    told = reports or (directory(), output("model"), output("plot"))
    await agent.report(run.run_id, *told, state(COMPLETED), closed())
    return await server.get(run.run_id)


async def delete(
    server: Server, run: Run, *paths: str, caller: Caller = ANN, **fields: Any
) -> DeleteOutputsResponse:
    """Ask for the deletion of outputs, with the word for it unless told otherwise."""
    values: dict[str, Any] = {"confirmation": WORD, **fields}
    request = DeleteOutputsRequest(run_id=run.run_id, paths=paths, **values)
    return await server.call("DeleteOutputs", request, caller)


def orders(agent: Agent) -> Sequence[DeletionOrder]:
    return [one.deletion for one in agent.responses if one.HasField("deletion")]


def noted(agent: Agent) -> Sequence[str]:
    """Return the requests whose end the agent may forget."""
    return [
        one.deletion_noted.request_id for one in agent.responses if one.HasField("deletion_noted")
    ]


async def ordered(agent: Agent, count: int = 1) -> DeletionOrder:
    """Wait until an agent was handed so many pages, and return the last of them."""
    await agent.until(lambda: len(orders(agent)) >= count)
    return orders(agent)[count - 1]


def carry_out(agent: Agent, order: DeletionOrder, *, absent: bool = False, **result: Any) -> None:
    """Let an agent say that it has deleted what was ordered, unless told otherwise."""
    size = sum(doomed.size_bytes for doomed in order.outputs)
    values = result or {"deleted_count": len(order.outputs), "deleted_bytes": size}
    kept = {one.path for one in values.get("kept_outputs", ())}
    gone = [
        GoneOutput(path=doomed.path, sequence=doomed.sequence, absent=absent)
        for doomed in order.outputs
        if doomed.path not in kept
    ]
    tell(agent, order, gone_outputs=gone)
    tell(agent, order, result=OutputsDeletion(**values))


def tell(agent: Agent, order: DeletionOrder, **fields: Any) -> None:
    """Let an agent say how far it is."""
    agent.say(deletion=DeletionReport(run_id=order.run_id, request_id=order.request_id, **fields))


async def request_of(server: Server, run: Run) -> ControlRequest:
    """Return the run's latest control request as it is now."""
    return (await server.get(run.run_id)).control_requests[-1]


async def until_told(server: Server, run: Run, time: str = "confirm_time") -> ControlRequest:
    """Wait until the run's latest control request has a time, and return it."""
    while not (request := await request_of(server, run)).HasField(time):  # pyright: ignore[reportArgumentType] - the name of a field  # noqa: ASYNC110 - the store has no event
        await asyncio.sleep(0.002)
    return request


async def listed(server: Server, run: Run) -> dict[str, Output]:
    """Return the outputs of a run by their paths."""
    found = await server.call("ListOutputs", ListOutputsRequest(run_id=run.run_id))
    return {one.path: one for one in found.outputs}
