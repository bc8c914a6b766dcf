"""Published files and folders of this machine, read in threads of their own.

A disk that hangs holds up those threads and nothing else, not even the end of the process.
"""

import asyncio
import os
import stat
import threading
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future
from itertools import islice
from typing import Final, TypeVar

from typing_extensions import override

from trackside_plugin_interface import (
    EngineUnavailableError,
    FileChangedError,
    FolderFile,
    OpenedFile,
    OpenedFolder,
    OutputPlace,
)
from trackside_runner_local.opening import open_folder, open_place, refusal

THREADS: Final = 32
"""More than are read at a time, unless a disk hangs."""

DEEPEST: Final = 32
"""How deep folders are listed: each level holds a descriptor meanwhile."""

T = TypeVar("T")


class LocalReader:
    """Opens what runs of this machine have published."""

    def __init__(self) -> None:
        self._room = threading.BoundedSemaphore(THREADS)

    async def open(self, place: OutputPlace) -> OpenedFile | OpenedFolder:
        """Open a file or a folder; see `Runner.open_output`."""
        opening = self._begin(lambda: self._opened(place))
        try:
            return await asyncio.wrap_future(opening)
        except asyncio.CancelledError:
            opening.add_done_callback(_drop)
            raise

    async def do(self, work: Callable[[], T]) -> T:
        """Return what is done in a thread.

        Raises:
            EngineUnavailableError: Too many threads wait for a disk already.
        """
        return await asyncio.wrap_future(self._begin(work))

    async def let_go(self, close: Callable[[], None]) -> None:
        """Close something in a thread, for which there is always room.

        It may have to wait for a read that was given up, and many may be given up at once.
        """
        await asyncio.wrap_future(_started(close))

    def _begin(self, work: Callable[[], T]) -> "Future[T]":
        if not self._room.acquire(blocking=False):
            message = "too many files are being read, or a disk does not answer"
            raise EngineUnavailableError(message)
        return _started(work, after=self._room.release)

    def _opened(self, place: OutputPlace) -> "LocalFile | LocalFolder":
        descriptor = open_place(place.location, place.member)
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            return LocalFolder(descriptor, self)
        return LocalFile(descriptor, self)


def _started(work: Callable[[], T], *, after: Callable[[], None] = lambda: None) -> "Future[T]":
    """Do something in a thread, and something else after it, and return what comes of it."""
    future: Future[T] = Future()

    def run() -> None:
        try:
            if future.set_running_or_notify_cancel():
                future.set_result(work())
        except BaseException as error:  # noqa: BLE001 - whoever waits is told, whatever it is
            future.set_exception(error)
        finally:
            after()

    # Not of a pool, whose threads the interpreter waits for before it ends.
    try:
        threading.Thread(target=run, name="file", daemon=True).start()
    except RuntimeError:  # the system has none to give
        after()
        raise
    return future


class LocalFile(OpenedFile):
    """An open file. What is appended to it meanwhile is not read, and does no harm."""

    def __init__(self, descriptor: int, reader: LocalReader) -> None:
        self._descriptor = descriptor
        self._reader = reader
        self._lock = threading.Lock()
        self._opened = os.fstat(descriptor)

    @property
    @override
    def size_bytes(self) -> int:
        return self._opened.st_size

    @property
    @override
    def version(self) -> str:
        found = self._opened
        return f"{found.st_dev:x}-{found.st_ino:x}-{found.st_size:x}-{found.st_mtime_ns:x}"

    @override
    async def read(self, offset: int, limit: int) -> bytes:
        return await self._reader.do(lambda: self._read(offset, limit))

    @override
    async def close(self) -> None:
        await self._reader.let_go(self.close_now)

    def _read(self, offset: int, limit: int) -> bytes:
        with self._lock:
            try:
                data = os.pread(self._descriptor, limit, offset)
                now = os.fstat(self._descriptor)
            except OSError as error:
                raise refusal(error) from error
        # After reading: what is written later is in no piece that was read before.
        is_rewritten = (
            now.st_size == self.size_bytes and now.st_mtime_ns != self._opened.st_mtime_ns
        )
        if not data or now.st_size < self.size_bytes or is_rewritten:
            message = "it was written while it was read"
            raise FileChangedError(message)
        return data

    def close_now(self) -> None:
        """Let go of it in this thread."""
        with self._lock:  # a read that goes on must not find another file under the number
            descriptor, self._descriptor = self._descriptor, -1
            if descriptor >= 0:
                os.close(descriptor)


class LocalFolder(OpenedFolder):
    """An open folder."""

    def __init__(self, descriptor: int, reader: LocalReader) -> None:
        self._reader = reader
        self._lock = threading.Lock()
        self._skipped = 0
        self._files = self._below(descriptor, "", DEEPEST)
        self._descriptor = descriptor

    @property
    @override
    def skipped_count(self) -> int:
        return self._skipped

    @override
    async def next_files(self, limit: int) -> Sequence[FolderFile]:
        return await self._reader.do(lambda: self._next(limit))

    @override
    async def close(self) -> None:
        await self._reader.let_go(self.close_now)

    def _next(self, limit: int) -> Sequence[FolderFile]:
        with self._lock:
            try:
                return list(islice(self._files, limit))
            except OSError as error:
                raise refusal(error) from error

    def close_now(self) -> None:
        """Let go of it in this thread."""
        with self._lock:
            self._files.close()
            descriptor, self._descriptor = self._descriptor, -1
            if descriptor >= 0:
                os.close(descriptor)

    def _below(self, folder: int, prefix: str, deepest: int) -> Generator[FolderFile]:
        with os.scandir(folder) as entries:
            for entry in entries:
                path = prefix + entry.name
                if not _is_text(path) or entry.is_symlink():
                    self._skipped += 1
                elif entry.is_file(follow_symlinks=False):
                    try:
                        size = entry.stat(follow_symlinks=False).st_size
                    except FileNotFoundError:  # gone since it was listed
                        continue
                    yield FolderFile(path, size)
                elif entry.is_dir(follow_symlinks=False) and deepest:
                    yield from self._inside(folder, entry.name, path, deepest - 1)
                else:
                    self._skipped += 1

    def _inside(self, folder: int, name: str, path: str, deepest: int) -> Generator[FolderFile]:
        try:
            below = open_folder(folder, name)
        except OSError:  # swapped for a link meanwhile, or not to be listed
            self._skipped += 1
            return
        try:
            yield from self._below(below, f"{path}/", deepest)
        finally:
            os.close(below)


def _drop(opening: "Future[LocalFile | LocalFolder]") -> None:
    """Close what was opened though nobody waits for it any more."""
    if not opening.cancelled() and opening.exception() is None:
        opening.result().close_now()


def _is_text(path: str) -> bool:
    """Return whether a path can be said on the wire."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True
