"""What a run has published, as a scripted server gives it: whole, cut off, changed or gone."""

import hashlib
from collections.abc import Mapping, Sequence

import grpc
from google.protobuf.message import Message

from support.scripted_server import Cut, Refused, ScriptedServer
from trackside.contents import checksum_text, folder_checksum
from trackside_protos.runs.v1.output_pb2 import Output, OutputFile, OutputMember, OutputMembers
from trackside_protos.runs.v1.runs_service_pb2 import (
    ListOutputsResponse,
    ReadOutputRequest,
    ReadOutputResponse,
)

PIECE = 4


class PublishedFiles:
    """Answers `ListOutputs` and `ReadOutput` of a scripted server."""

    def __init__(self, server: ScriptedServer) -> None:
        self.files: dict[str, bytes | Mapping[str, bytes]] = {}
        self.outputs: dict[str, Output] = {}
        self.faults: list[Exception | int] = []
        """What happens to each read in turn: an error at once, or a cut after so many bytes."""
        self.version = "v1"
        self.reads: list[ReadOutputRequest] = []
        server.answers["ListOutputs"] = lambda _: ListOutputsResponse(
            outputs=[self.outputs[path] for path in sorted(self.outputs)]
        )
        server.answers["ReadOutput"] = self._read

    def publish(self, path: str, contents: bytes | Mapping[str, bytes], location: str = "") -> None:
        """Publish a file, or a folder by the contents of its files."""
        self.files[path] = contents
        self.outputs[path] = Output(
            path=path,
            size_bytes=sum(map(len, contents.values()))
            if isinstance(contents, Mapping)
            else len(contents),
            checksum=_checksum(contents),
            exists=True,
            location=location,
        )

    def offsets(self) -> Sequence[int]:
        """Return where each read began that had any bytes."""
        return [read.offset for read in self.reads]

    def _read(self, asked: ReadOutputRequest) -> Sequence[Message | Exception]:
        self.reads.append(asked)
        fault = self.faults.pop(0) if self.faults else 1 << 30
        if isinstance(fault, Exception):
            return [fault]
        contents = self._found(asked)
        if contents is None:
            return [Refused(grpc.StatusCode.NOT_FOUND, "PART_NOT_FOUND")]
        if isinstance(contents, Mapping):
            return _listing(self.outputs[asked.path], contents)
        if asked.version not in ("", self.version):
            return [Refused(grpc.StatusCode.FAILED_PRECONDITION, "OUTPUT_CHANGED")]
        return self._sent(asked, contents, fault)

    def _found(self, asked: ReadOutputRequest) -> bytes | Mapping[str, bytes] | None:
        contents = self.files[asked.path]
        if not asked.member:
            return contents
        if not isinstance(contents, Mapping):
            return None
        inside = f"{asked.member}/"
        below = {
            path.removeprefix(inside): data
            for path, data in contents.items()
            if path.startswith(inside)
        }
        return below or contents.get(asked.member)

    def _sent(
        self, asked: ReadOutputRequest, contents: bytes, fault: int
    ) -> Sequence[Message | Exception]:
        file = OutputFile(size_bytes=len(contents), version=self.version)
        wanted = contents[asked.offset :][: asked.length or None]
        sent: list[Message | Exception] = [
            ReadOutputResponse(output=self.outputs[asked.path], file=file)
        ]
        for start in range(0, len(wanted), PIECE):
            if start >= fault:
                break
            sent.append(ReadOutputResponse(data=wanted[start : start + PIECE]))
        return [*sent, Cut()] if fault < len(wanted) else sent


def _listing(output: Output, contents: Mapping[str, bytes]) -> Sequence[Message]:
    members = [OutputMember(path=path, size_bytes=len(data)) for path, data in contents.items()]
    pages = [OutputMembers(members=[member]) for member in members]
    return [
        ReadOutputResponse(output=output),
        *(ReadOutputResponse(members=page) for page in pages),
        ReadOutputResponse(members=OutputMembers(skipped_count=1)),
    ]


def _checksum(contents: bytes | Mapping[str, bytes]) -> str:
    if isinstance(contents, Mapping):
        return folder_checksum((path, _checksum(data)) for path, data in contents.items())
    return checksum_text(hashlib.sha256(contents).hexdigest())
