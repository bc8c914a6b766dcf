"""Sends published files to the server that asks for them, each on a stream of its own.

Each has a thread of its own, too, and the runner opens and reads on its loop: neither the line
to the server nor what follows runs waits for a file. The server says how much was taken, so a
reader who is slow holds only this up, and nothing is piled up for them.
"""

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from concurrent.futures import CancelledError, Future
from typing import Any, Final, TypeVar

import grpc

from trackside.client.connection import Connection
from trackside.client.errors import TracksideError
from trackside_agent.plugin_calls import READING, PluginFaultError, call
from trackside_agent.runner_thread import RunnerThread
from trackside_plugin_interface import (
    EngineUnavailableError,
    FileChangedError,
    FileGoneError,
    FileNotRegularError,
    FileUnreadableError,
    OpenedFile,
    OpenedFolder,
    OutputPlace,
    ReadingUnsupportedError,
)
from trackside_protos.runners.v1.runners_service_pb2 import (
    FileEnd,
    FileRead,
    FileRefusal,
    FileRefusalKind,
    SendFileRequest,
)
from trackside_protos.runs.v1.output_pb2 import OutputFile, OutputMember, OutputMembers

PIECE_BYTES: Final = 256 << 10
PIECES_AHEAD: Final = 8
"""How many pieces are sent before it is known that they were taken."""

PAGE_FILES: Final = 500
MOST_AT_ONCE: Final = 32
"""More than one server asks for at once: only one that is at fault comes to it."""

OPEN_SECONDS: Final = 25.0
PIECE_SECONDS: Final = 50.0
CLOSE_SECONDS: Final = 10.0
STOP_SECONDS: Final = 2.0

_Kind = FileRefusalKind
_KINDS: Final[Sequence[tuple[type[Exception], "FileRefusalKind.ValueType"]]] = (
    (FileGoneError, _Kind.FILE_REFUSAL_KIND_GONE),
    (FileNotRegularError, _Kind.FILE_REFUSAL_KIND_NOT_REGULAR),
    (FileChangedError, _Kind.FILE_REFUSAL_KIND_CHANGED),
    (ReadingUnsupportedError, _Kind.FILE_REFUSAL_KIND_UNSUPPORTED),
    (FileUnreadableError, _Kind.FILE_REFUSAL_KIND_UNREADABLE),
    (EngineUnavailableError, _Kind.FILE_REFUSAL_KIND_UNAVAILABLE),
    (TimeoutError, _Kind.FILE_REFUSAL_KIND_UNAVAILABLE),
)

Metadata = Callable[[], tuple[tuple[str, str], ...]]
T = TypeVar("T")

logger = logging.getLogger(__name__)


class FileSender:
    """Sends what it is asked for. Methods may be called from any thread and do not wait."""

    def __init__(
        self,
        connection: Connection,
        metadata: Metadata,
        thread_of: Callable[[str], RunnerThread],
    ) -> None:
        self._connection = connection
        self._metadata = metadata
        self._thread_of = thread_of
        self._lock = threading.Lock()
        self._open: dict[_Sending, threading.Thread] = {}

    def take(self, ask: FileRead) -> None:
        """Begin to send a file."""
        sending = _Sending(ask, self._thread_of(ask.runner))
        thread = threading.Thread(target=self._run, args=(sending,), name="sender", daemon=True)
        with self._lock:
            if len(self._open) >= MOST_AT_ONCE:
                logger.warning("a file of run %s is not read: too many are", ask.run_id)
                return
            self._open[sending] = thread
            thread.start()

    def stop(self) -> None:
        """Send nothing more; what was read is closed when this returns, unless the runner hangs."""
        with self._lock:
            sendings = dict(self._open)
        for sending in sendings:
            sending.hang_up()
        deadline = time.monotonic() + STOP_SECONDS
        for thread in sendings.values():
            thread.join(max(0.0, deadline - time.monotonic()))

    def _run(self, sending: "_Sending") -> None:
        try:
            sending.run(self._connection, self._metadata())
        except (grpc.RpcError, TracksideError, ValueError) as error:  # ValueError: hung up
            logger.info("a file was not sent to its end: %s", _short(error))
        finally:
            sending.end()
            with self._lock:
                del self._open[sending]


class _Sending:
    """One file or folder on its way: grpc asks for pieces in a thread of its own."""

    def __init__(self, ask: FileRead, thread: RunnerThread) -> None:
        self._ask = ask
        self._thread = thread
        self._lock = threading.Condition()
        self._is_over = False
        self._taken = 0
        self._call: grpc.Call | None = None
        self._waiting: Future[Any] | None = None
        self._opened: OpenedFile | OpenedFolder | None = None

    def run(self, connection: Connection, metadata: tuple[tuple[str, str], ...]) -> None:
        """Send it, and return when the server has had all that it wants.

        Raises:
            grpc.RpcError: The server does not want it, or cannot be reached.
        """
        responses = connection.runners.SendFile(self._requests(), metadata=metadata)
        with self._lock:
            self._call = responses
            is_over = self._is_over
        if is_over:  # since before there was a call to cancel
            responses.cancel()
        for response in responses:
            with self._lock:
                self._taken = response.taken_count
                self._lock.notify_all()

    def hang_up(self) -> None:
        """End the stream, and wait for nothing that the runner does."""
        with self._lock:
            self._is_over = True
            self._lock.notify_all()
            call, waiting = self._call, self._waiting
        if call is not None:
            call.cancel()
        if waiting is not None:
            waiting.cancel()

    def end(self) -> None:
        """Stop reading and close the file. Idempotent."""
        self.hang_up()
        with self._lock:
            opened, self._opened = self._opened, None
        if opened is not None:
            self._close(opened)

    def _requests(self) -> Iterator[SendFileRequest]:
        read_id = self._ask.read_id
        for sent, request in enumerate(self._contents()):
            request.read_id, read_id = read_id, ""
            if not self._may_send(sent):
                return
            yield request

    def _may_send(self, sent: int) -> bool:
        """Wait until there is room for one more piece; False when nobody wants it any more."""
        with self._lock:
            self._lock.wait_for(lambda: self._is_over or sent - self._taken < PIECES_AHEAD)
            return not self._is_over

    def _contents(self) -> Iterator[SendFileRequest]:
        try:
            opened = self._open()
            yield from (
                self._file(opened) if isinstance(opened, OpenedFile) else self._folder(opened)
            )
        except CancelledError:  # the stream has ended: nobody is told
            return
        except (*READING, PluginFaultError, TimeoutError) as error:
            yield SendFileRequest(refusal=_refusal(error))
        else:
            yield SendFileRequest(end=FileEnd())

    def _open(self) -> OpenedFile | OpenedFolder:
        if not self._thread.is_answering:
            message = "the runner does not answer"
            raise EngineUnavailableError(message)
        return self._asked(self._opened_there(), OPEN_SECONDS)

    async def _opened_there(self) -> OpenedFile | OpenedFolder:
        """Open on the loop of the runner, and keep it for `end` before anybody else has it.

        Whoever waits for it may have given up at the very moment: it must be closed all the same.
        """
        place = OutputPlace(
            run_id=self._ask.run_id, location=self._ask.location, member=self._ask.member
        )
        opened = await self._thread.runner.open_output(place)
        with self._lock:
            is_over = self._is_over
            if not is_over:
                self._opened = opened
        if is_over:
            await asyncio.shield(opened.close())  # whoever gave up also cancels this
            raise asyncio.CancelledError
        return opened

    def _file(self, file: OpenedFile) -> Iterator[SendFileRequest]:
        yield SendFileRequest(file=OutputFile(size_bytes=file.size_bytes, version=file.version))
        offset, end = self._ask.offset, file.size_bytes
        if self._ask.length:
            end = min(end, offset + self._ask.length)
        while offset < end:
            limit = min(PIECE_BYTES, end - offset)
            data = self._asked(file.read(offset, limit), PIECE_SECONDS)
            if not 0 < len(data) <= limit:
                message = f"runner {self._thread.runner.name!r} read {len(data)} of {limit} bytes"
                raise PluginFaultError(message)
            offset += len(data)
            yield SendFileRequest(data=data)

    def _folder(self, folder: OpenedFolder) -> Iterator[SendFileRequest]:
        while files := self._asked(folder.next_files(PAGE_FILES), PIECE_SECONDS):
            members = [OutputMember(path=file.path, size_bytes=file.size_bytes) for file in files]
            yield SendFileRequest(members=OutputMembers(members=members))
        yield SendFileRequest(members=OutputMembers(skipped_count=folder.skipped_count))

    def _asked(self, work: Coroutine[Any, Any, T], seconds: float) -> T:
        """Return what the runner does on its loop.

        Raises:
            TimeoutError: It takes too long.
            CancelledError: Nobody waits for it any more.
        """
        runner = self._thread.runner
        waiting = self._thread.ask(call(runner.name, work, may_raise=READING))
        with self._lock:
            self._waiting = waiting
            if self._is_over:
                waiting.cancel()
        try:
            return waiting.result(seconds)
        except TimeoutError as error:
            waiting.cancel()
            message = "reading takes too long on the agent's side"
            raise TimeoutError(message) from error

    def _close(self, opened: OpenedFile | OpenedFolder) -> None:
        runner = self._thread.runner.name
        try:
            closing = self._thread.ask(call(runner, opened.close(), may_raise=READING))
            closing.result(CLOSE_SECONDS)
        except Exception as error:  # noqa: BLE001 - whatever a runner does, others go on
            logger.warning("runner %s did not close a file: %r", runner, error)


def _refusal(error: Exception) -> FileRefusal:
    if isinstance(error, PluginFaultError):  # what it raised is for the log, not for readers
        message = "the runner is at fault; the agent's log says more"
        return FileRefusal(kind=_Kind.FILE_REFUSAL_KIND_UNREADABLE, message=message)
    kind = next(kind for of, kind in _KINDS if isinstance(error, of))
    return FileRefusal(kind=kind, message=str(error))


def _short(error: Exception) -> str:
    if isinstance(error, grpc.RpcError):
        return f"{error.code().name} {error.details() or ''}".strip()
    return str(error)
