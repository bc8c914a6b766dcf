"""Reading outputs of runs services in tests: a caller, and the agent that sends."""

from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from typing import Final, Self

from support.conditions import until
from support.runs import AGENT, ANN, Agent, Report, Server, launched
from support.serving import SIGNER
from trackside_journal.tasks import closing
from trackside_protos.runners.v1.runners_service_pb2 import (
    FileEnd,
    FileRead,
    FileRefusal,
    FileRefusalKind,
    SendFileRequest,
    SendFileResponse,
)
from trackside_protos.runs.v1.output_pb2 import Output, OutputFile, OutputMember, OutputMembers
from trackside_protos.runs.v1.runs_service_pb2 import ReadOutputRequest, ReadOutputResponse
from trackside_serving.calls import Call
from trackside_serving.identity import Caller

END: Final = SendFileRequest(end=FileEnd())


def output(path: str = "model", **fields: object) -> Report:
    """Return a report on an output, of ten bytes unless said otherwise."""
    values = {"size_bytes": 10, "exists": True, "location": f"/data/{path}", **fields}
    return Report(output=Output(path=path, **values))  # pyright: ignore[reportArgumentType] - whatever a test gives


def file(size: int, version: str = "v1") -> SendFileRequest:
    return SendFileRequest(file=OutputFile(size_bytes=size, version=version))


def data(piece: bytes) -> SendFileRequest:
    return SendFileRequest(data=piece)


def members(*paths: str, skipped: int = 0) -> SendFileRequest:
    files = [OutputMember(path=path, size_bytes=len(path)) for path in paths]
    return SendFileRequest(members=OutputMembers(members=files, skipped_count=skipped))


def refusal(kind: str, message: str = "") -> SendFileRequest:
    value = FileRefusalKind.Value(f"FILE_REFUSAL_KIND_{kind}")
    return SendFileRequest(refusal=FileRefusal(kind=value, message=message))


async def published(server: Server, agent: Agent, *reports: Report) -> str:
    """Return a run that an agent holds and that has published something."""
    run = await server.create(launched())
    await until(lambda: run.run_id in agent.assigned)
    agent.store(run.run_id)
    await agent.report(run.run_id, *(reports or [output()]))
    return run.run_id


class Reading:
    """What a caller gets of an output. An async context that goes away at the end."""

    def __init__(self, server: Server, run_id: str, caller: Caller = ANN, **asked: object) -> None:
        fields = {"run_id": run_id, "path": "model", **asked}
        request = ReadOutputRequest(**fields)  # pyright: ignore[reportArgumentType] - whatever a test gives
        self.call = call = Call(caller, token=SIGNER.mint(caller, timedelta(hours=1)))
        self._stream: AsyncIterator[bytes] = server.handler("ReadOutput")(request, call)
        self.responses: list[ReadOutputResponse] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        async with closing(self._stream):
            pass

    async def next(self) -> ReadOutputResponse:
        self.responses.append(ReadOutputResponse.FromString(await anext(self._stream)))
        return self.responses[-1]

    async def all(self) -> Sequence[ReadOutputResponse]:
        """Read to the end."""
        async with closing(self._stream) as stream:
            async for raw in stream:
                self.responses.append(ReadOutputResponse.FromString(raw))
        return self.responses

    @property
    def data(self) -> bytes:
        return b"".join(response.data for response in self.responses)


class SendingAgent:
    """Answers the reads that one agent is asked for."""

    def __init__(self, server: Server, agent: Agent) -> None:
        self._server = server
        self._agent = agent
        self.sent = 0
        """How many pieces the server has asked for."""

    @property
    def asks(self) -> Sequence[FileRead]:
        return [one.read for one in self._agent.responses if one.HasField("read")]

    async def asked(self, count: int = 1) -> FileRead:
        """Wait until so many reads were asked for, and return the last of them."""
        await until(lambda: len(self.asks) >= count)
        return self.asks[count - 1]

    async def send(self, *pieces: SendFileRequest, number: int = 1, caller: Caller = AGENT) -> int:
        """Answer a read with these pieces; return how many are said to have been taken."""
        ask = await self.asked(number)
        return await self.send_as(ask.read_id, *pieces, caller=caller)

    async def send_as(
        self,
        read_id: str,
        *pieces: SendFileRequest,
        caller: Caller = AGENT,
    ) -> int:
        async def requests() -> AsyncIterator[bytes]:
            for index, piece in enumerate(pieces):
                said = SendFileRequest()
                said.CopyFrom(piece)
                said.read_id = "" if index else read_id
                self.sent += 1
                yield said.SerializeToString()

        stream = self._server.handler("SendFile")(requests(), Call(caller))
        answers = [SendFileResponse.FromString(raw) async for raw in stream]
        return answers[-1].taken_count if answers else 0
