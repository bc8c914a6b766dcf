"""One published file or folder, and how to have it here."""

import hashlib
import io
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO, Final, cast

from trackside.client.connection import Connection
from trackside.client.deletions import OutputsDeletion, delete_outputs
from trackside.client.download import Progress, Source, download_file, download_folder
from trackside.client.errors import (
    ConflictError,
    DamagedOutputError,
    ErrorFacts,
    NotFoundError,
    TracksideError,
)
from trackside.client.local_copies import local_copy, local_file, local_pieces
from trackside.client.output_facts import OutputFacts
from trackside.client.output_file import RemoteFile
from trackside.client.output_stream import OutputStream
from trackside.client.placement import name_of
from trackside.client.stopping import Stopper
from trackside.contents import checksum_text, files_below
from trackside_protos.runs.v1.output_pb2 import Output, OutputFile, OutputMember
from trackside_protos.runs.v1.runs_service_pb2 import ReadOutputRequest

_ELSE_HERE: Final = frozenset({"NO_READER", "AGENT_ELSEWHERE"})
"""Reasons for which a copy on this machine will do: nobody can be asked, or not from here."""


@dataclass(slots=True)
class RunFiles:
    """The files of one run, as they are read."""

    connection: Connection
    run_id: str
    stopper: Stopper = field(default_factory=Stopper)


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What is wanted of an output beside its bytes."""

    member: str = ""
    accept_changed: bool = False


@dataclass(slots=True)
class _Opened:
    """A file that comes in pieces, or a folder that comes with its files."""

    file: OutputFile
    pieces: Iterator[bytes]
    members: Iterator[OutputMember]
    is_folder: bool = False

    def __iter__(self) -> Iterator[bytes]:
        return self.pieces


class RunOutput(OutputFacts):
    """A published file or folder, which can be read and downloaded from wherever the run was.

    The agent of the run reads it. Of a run without one, a copy on this machine will do: the file at
    its location, if that has the size and checksum that were published.
    """

    def __init__(self, message: Output, files: RunFiles) -> None:
        super().__init__(message)
        self._files = files
        self._copy: Path | None = None

    def stopped_by(self, stopper: Stopper) -> "RunOutput":
        """Return the same output, whose reading something else ends."""
        return RunOutput(self._message, replace(self._files, stopper=stopper))

    def files(self) -> Sequence[str]:
        """Return the paths of the files of a folder; of a file, nothing.

        Raises:
            TracksideError: It cannot be read.
        """
        with self._opened(_Wanted()) as opened:
            return sorted(member.path for member in opened.members) if opened.is_folder else ()

    def read(
        self, offset: int = 0, length: int = 0, *, file: str = "", accept_changed: bool = False
    ) -> bytes:
        """Return the contents of a file, or a part of them; length 0: to the end.

        Args:
            offset: Where to begin, in bytes.
            length: At most how much.
            file: Of a folder: which of its files.
            accept_changed: Whether it may have been written since it was published.

        Raises:
            DamagedOutputError: It has the size that was published, and other contents.
            TracksideError: It cannot be read.
        """
        wanted = _Wanted(file, accept_changed)
        with self._file_opened(wanted, offset, length) as opened:
            contents = b"".join(opened.pieces)
        is_whole = not (offset or length or file or accept_changed)
        is_known = is_whole and self.checksum.startswith(checksum_text(""))
        if is_known and checksum_text(hashlib.sha256(contents).hexdigest()) != self.checksum:
            message = "what came is not what was published: its checksum differs"
            raise DamagedOutputError(message)
        return contents

    def open(self, *, file: str = "", accept_changed: bool = False) -> BinaryIO:
        """Open a file for reading, anywhere in it; takes what `read` takes.

        It is read over the network as it is asked for, piece by piece.

        Raises:
            TracksideError: It cannot be read.

        Example:
            ```python
            with trackside.get_run("@latest").outputs().named("scores.csv").open() as file:
                print(file.readline())
            ```
        """
        wanted = _Wanted(file, accept_changed)
        with self._file_opened(wanted) as opened:
            version, size = opened.file.version, opened.file.size_bytes
        remote = RemoteFile(
            lambda offset: self._file_opened(wanted, offset, version=version), size, self.path
        )
        return cast("BinaryIO", io.BufferedReader(remote, 256 << 10))

    def download(
        self,
        to: str | Path = ".",
        *,
        overwrite: bool = False,
        accept_changed: bool = False,
        progress: Progress | None = None,
    ) -> Path:
        """Have the file or folder on this machine, and return where.

        It is there whole and right, or not at all: what came before an interruption is kept
        beside it and gone on with the next time. When just that is there already, nothing is done.

        Args:
            to: Where it is to be; a folder that exists: in there, under its own name.
            overwrite: Whether a file may be written over. A folder never is.
            accept_changed: Whether it may have been written since it was published.
            progress: Called with how many bytes have come, and how many there are.

        Raises:
            ConflictError: Something is there that must not be written over.
            DamagedOutputError: What came is not what was published.
            TracksideError: It cannot be read.
            OSError: It cannot be written.
        """
        target = Path(to)
        if target.is_dir():
            target /= name_of(self.path)
        return self.download_as(
            target, overwrite=overwrite, accept_changed=accept_changed, progress=progress
        )

    def download_as(
        self,
        target: Path,
        *,
        file: str = "",
        overwrite: bool = False,
        accept_changed: bool = False,
        progress: Progress | None = None,
    ) -> Path:
        """Have it under this very name; else as `download`. `file`: what is below a folder."""
        wanted = _Wanted(file, accept_changed)
        with self._opened(wanted) as opened:
            members = None
            if opened.is_folder:
                members = {member.path: member.size_bytes for member in opened.members}
        if members is None:
            source = self._source(wanted)
            download_file(source, target, overwrite=overwrite, progress=progress)
        else:
            if not (file or accept_changed):
                self._require_size(sum(members.values()))
            inside = f"{file}/" if file else ""
            sources = {
                path: (self._source(_Wanted(inside + path)), size)
                for path, size in sorted(members.items())
            }
            checksum = "" if file or accept_changed else self.checksum
            key = f"{self._files.run_id}\0{self.path}\0{file}\0{self.checksum}"
            download_folder(sources, target, key=key, checksum=checksum, progress=progress)
        return target

    def delete(self, confirmation: str, *, timeout: float | None = 60.0) -> OutputsDeletion:
        """Delete it where it is, and wait for the word of the run's agent.

        Takes and raises what `RunHandle.delete_outputs` does. The run has to have ended.
        """
        files = self._files
        ordered = delete_outputs(files.connection, files.run_id, confirmation, [self.path])
        return ordered.wait(files.connection, files.stopper, timeout)

    def _require_size(self, size: int) -> None:
        """Refuse a folder that has grown or shrunk, before all of it has come for nothing.

        Raises:
            ConflictError: It has.
        """
        if size != self.size_bytes:
            message = f"the folder has {size} bytes, and had {self.size_bytes} when published"
            raise ConflictError(message, ErrorFacts(reason="OUTPUT_CHANGED"))

    def _source(self, wanted: _Wanted) -> Source:
        is_known = not wanted.member and not wanted.accept_changed
        return Source(
            key=f"{self._files.run_id}\0{self.path}\0{wanted.member}",
            begin=lambda offset, version: self._file_opened(wanted, offset, version=version),
            checksum=self.checksum if is_known else "",
        )

    @contextmanager
    def _file_opened(
        self, wanted: _Wanted, offset: int = 0, length: int = 0, *, version: str = ""
    ) -> Generator[_Opened]:
        with self._opened(wanted, offset, length, version=version) as opened:
            if opened.is_folder:
                message = f"{self.path} is a folder"
                raise ConflictError(message, hint="files() says which files it has")
            yield opened

    @contextmanager
    def _opened(
        self, wanted: _Wanted, offset: int = 0, length: int = 0, *, version: str = ""
    ) -> Generator[_Opened]:
        if self._copy is not None:
            yield _local(self._copy, wanted.member, offset, length)
            return
        request = ReadOutputRequest(
            run_id=self._files.run_id,
            path=self.path,
            member=wanted.member,
            offset=offset,
            length=length,
            version=version,
            accept_changed=wanted.accept_changed,
        )
        stream = OutputStream(self._files.connection, request)
        with self._files.stopper.minding(stream):
            try:
                try:
                    opening = next(stream)
                except TracksideError as error:
                    if error.reason not in _ELSE_HERE or not self._find_copy():
                        raise
                    assert self._copy is not None
                    yield _local(self._copy, wanted.member, offset, length)
                    return
                yield _Opened(
                    opening.file,
                    (response.data for response in stream if response.data),
                    (member for response in stream for member in response.members.members),
                    is_folder=not opening.HasField("file"),
                )
            finally:
                stream.stop()

    def _find_copy(self) -> bool:
        self._copy = local_copy(self._message)
        return self._copy is not None


def _local(copy: Path, member: str, offset: int, length: int) -> _Opened:
    """Open what is on this machine, and is known to be what was published."""
    if not member and copy.is_dir():
        members = (
            OutputMember(path=path, size_bytes=(copy / path).stat().st_size)
            for path in files_below(copy)
        )
        return _Opened(OutputFile(), iter(()), members, is_folder=True)
    place = copy / member if member else copy
    if member and not _is_below(place, copy):
        message = "the folder that was published has no such file"
        raise NotFoundError(message)
    return _Opened(local_file(place), local_pieces(place, offset, length), iter(()))


def _is_below(place: Path, folder: Path) -> bool:
    """Return whether this is a file of a folder, and the way to it has no link and no `..`."""
    real = folder.resolve()
    found = place.resolve()
    named = real / place.relative_to(folder) if place.is_relative_to(folder) else None
    return place.is_file() and found == named and found.is_relative_to(real)
