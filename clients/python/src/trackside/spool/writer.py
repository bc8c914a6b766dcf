"""The writing end of a spool: numbered batches into segments of bounded size."""

import contextlib
import os
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from trackside.spool.folder import Identity, SpoolFolder, sync_path
from trackside.spool.frames import SERVICES, CorruptFrameError, Frame, Service, readable_frames_in

SEGMENT_BYTES: Final = 4 << 20
"""A segment that is longer is followed by a new one; whole segments are deleted once delivered."""

SPOOL_BYTES: Final = 1 << 30
"""A spool that is longer loses contents: the oldest logs first, then points, reports never."""

MEMORY_BYTES: Final = 64 << 20
"""What is kept in memory while the disk takes nothing; beyond it contents are lost likewise."""

_TAKEN_AT_ONCE: Final = 32

_LOSING_ORDER: Final = (Service.LOGS, Service.METRICS)

_NEW_FILE: Final = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Limits:
    """How much a spool may hold, in bytes."""

    segment: int = SEGMENT_BYTES
    spool: int = SPOOL_BYTES
    memory: int = MEMORY_BYTES


@dataclass(slots=True)
class Loss:
    """What was dropped for want of room."""

    frames: list[Frame]
    """The frames as they were, of one service."""
    reason: str

    @property
    def items(self) -> int:
        """How many entries or points were dropped."""
        return sum(frame.items for frame in self.frames)

    @property
    def size_bytes(self) -> int:
        """How many bytes were dropped."""
        return sum(len(frame.payload) for frame in self.frames)


class SpoolWriter:
    """Appends batches; every one is with the system when `append` returns.

    May be called from any thread. Never raises for want of a disk: what cannot be written stays
    in memory and is tried again with the next batch. `substitute` returns the payload of a small
    batch that says what was dropped; `note` is what an earlier epoch left.

    Everything outlasts the process; a `durable` writer's batches outlast the machine too, from
    the next `sync` on.
    """

    def __init__(
        self,
        folder: SpoolFolder,
        identity: Identity,
        *,
        substitute: Callable[[Frame], bytes],
        limits: Limits | None = None,
        note: bytes = b"",
        durable: bool = False,
    ) -> None:
        self.folder = folder
        self.last: dict[Service, int] = dict.fromkeys(SERVICES, 0)
        """The number of the newest batch of each service."""
        self.taken: dict[Service, int] = dict(self.last)
        """The number of the newest batch of each service that is read for being sent; set by who
        reads. Up to there nothing is dropped."""
        self.note: bytes = note
        """What the caller put beside the newest frame: where it stood in its own input."""
        self.failure: OSError | None = None
        """Why nothing is written to disk at present."""
        self.durable = durable
        """Whether batches may be sent only when `sync` has put them on the disk."""
        self._identity = identity
        self._substitute = substitute
        self._limits = limits or Limits()
        self._lock = threading.Lock()
        self._writer_lock = None
        self._descriptor = -1
        self._size = 0
        self._segment = 0
        self._synced = dict(self.last)
        self._unsynced: list[int] = []
        self._has_new_name = False
        self._waiting: list[Frame] = []
        self._written_note = note
        self._shrunk: dict[int, Service] = {}

    def append(self, drafts: Iterable[Frame]) -> list[Loss]:
        """Number these frames and write them; say what was dropped to make room."""
        with self._lock:
            for draft in drafts:
                self.last[draft.service] += 1
                self._waiting.append(replace(draft, sequence=self.last[draft.service]))
                self.note = draft.note or self.note
            return self._flush()

    def begin(self) -> None:
        """Write the header, if nothing was written yet, so that the note is kept."""
        with self._lock:
            try:
                if self._segment == 0:
                    self._open_segment()
            except OSError as error:
                self.failure = error

    def may_go(self, frame: Frame) -> bool:
        """Say whether a batch of this spool may be sent."""
        return not self.durable or frame.sequence <= self._synced[frame.service]

    def sync(self) -> None:
        """Put everything on the disk, so that what is sent is never ahead of it.

        What the disk does not take may go nevertheless: a run whose states do not come would
        look dead, and a kill would not be confirmed. Called by one thread at a time.
        """
        with self._lock:
            last, has_new_name = dict(self.last), self._has_new_name
            descriptors, self._unsynced, self._has_new_name = self._unsynced, [], False
            if self._descriptor >= 0:
                descriptors.append(os.dup(self._descriptor))
        try:
            for descriptor in descriptors:
                os.fdatasync(descriptor)
            if has_new_name:
                self.folder.sync_names()
        except OSError as error:
            self.failure = error
        finally:
            for descriptor in descriptors:
                os.close(descriptor)
        self._synced = last

    def waiting(self, service: Service, after: int) -> list[Frame]:
        """Take some frames behind `after` that are not on disk, if they follow it directly."""
        with self._lock:
            frames = [f for f in self._waiting if f.service is service and f.sequence > after]
            if not frames or frames[0].sequence != after + 1:
                return []
            del frames[_TAKEN_AT_ONCE:]
            self.taken[service] = frames[-1].sequence
            return frames

    def release(self, acknowledged: Mapping[Service, int]) -> None:
        """Forget what is delivered, of the frames that are kept in memory."""
        if self._waiting:
            with self._lock:
                self._waiting = [f for f in self._waiting if f.sequence > acknowledged[f.service]]

    def close(self) -> None:
        """Write what can be written and give up the writer's lock."""
        with self._lock:
            self._flush()
            self._close_segment()
            if self._writer_lock:
                self._writer_lock.release()
                self._writer_lock = None

    def _flush(self) -> list[Loss]:
        if not self._waiting:
            return []
        try:
            self._write()
        except OSError as error:
            self.failure = error
            return self._lose_memory()
        self.failure = None
        if self._size >= self._limits.segment:
            self._close_segment()
            return self._lose_disk()
        return []

    def _write(self) -> None:
        if self._descriptor < 0:
            self._open_segment()
        data = b"".join(frame.encode() for frame in self._waiting)
        try:
            written = 0
            while written < len(data):
                written += os.write(self._descriptor, data[written:])
        except OSError:
            # Part of it may stand there: without the cut, the next write would follow half a frame.
            # That goes to the end, wherever the end is then: without `O_APPEND` it would leave a
            # hole, behind which nothing is found any more.
            with contextlib.suppress(OSError):
                os.ftruncate(self._descriptor, self._size)
            raise
        self._size += len(data)
        self._written_note = self.note
        self._waiting.clear()

    def _open_segment(self) -> None:
        self.folder.make()
        if self._writer_lock is None:
            self._writer_lock = self.folder.lock_for_writing()
            self.folder.note_writer()
        self._segment += 1
        before = dict(self.last)
        for frame in reversed(self._waiting):
            before[frame.service] = frame.sequence - 1
        # Not yet the note of what waits: the header may reach the disk without it.
        note = self._written_note
        header = Frame(Service.HEADER, 0, self._identity.encode(before), note=note).encode()
        path = self.folder.segment(self._segment)
        descriptor = os.open(path, _NEW_FILE, 0o600)
        try:
            os.write(descriptor, header)
        except OSError:
            os.close(descriptor)
            path.unlink(missing_ok=True)
            raise
        self._descriptor, self._size, self._has_new_name = descriptor, len(header), True

    def _close_segment(self) -> None:
        if self._descriptor >= 0:
            if self.durable:
                self._unsynced.append(self._descriptor)
            else:
                os.close(self._descriptor)
            self._descriptor = -1

    def _lose_memory(self) -> list[Loss]:
        size = sum(len(frame.payload) for frame in self._waiting)
        losses: list[Loss] = []
        for service in _LOSING_ORDER:
            if size <= self._limits.memory:
                break
            loss = Loss([], "no room on disk and in memory")
            for index, frame in enumerate(self._waiting):
                if size <= self._limits.memory // 2:
                    break
                if frame.service is service and self._may_drop(frame):
                    loss.frames.append(frame)
                    self._waiting[index] = self._shrink(frame)
                    size -= len(frame.payload)
            losses.append(loss)
        return [loss for loss in losses if loss.frames]

    def _lose_disk(self) -> list[Loss]:
        losses: list[Loss] = []
        while self._size_on_disk() > self._limits.spool:
            loss = self._shrink_oldest()
            if loss is None:
                break
            losses.append(loss)
        return [loss for loss in losses if loss.frames]

    def _size_on_disk(self) -> int:
        size = 0
        for number in self.folder.segments():
            with contextlib.suppress(OSError):
                size += self.folder.segment(number).stat().st_size
        return size

    def _shrink_oldest(self) -> Loss | None:
        numbers = self.folder.segments()
        for service in _LOSING_ORDER:
            for number in numbers:
                if self._shrunk.get(number, Service.HEADER) < service:
                    self._shrunk[number] = service
                    return self._shrink_segment(number, service)
        return None

    def _shrink_segment(self, number: int, service: Service) -> Loss:
        loss = Loss([], "spool full")
        path = self.folder.segment(number)
        part = path.with_suffix(".part")
        try:
            kept: list[bytes] = []
            with contextlib.suppress(CorruptFrameError):
                for frame, _ in readable_frames_in(path.read_bytes()):
                    drop = frame.service is service and self._may_drop(frame)
                    if drop:
                        loss.frames.append(frame)
                    kept.append((self._shrink(frame) if drop else frame).encode())
            part.write_bytes(b"".join(kept))
            part.chmod(0o600)
            if self.durable:
                sync_path(part)
            part.replace(path)
        except OSError:
            with contextlib.suppress(OSError):
                part.unlink()
            loss.frames.clear()
        return loss

    def _may_drop(self, frame: Frame) -> bool:
        return not frame.substitute and frame.sequence > self.taken[frame.service]

    def _shrink(self, frame: Frame) -> Frame:
        return replace(frame, payload=self._substitute(frame), items=1, substitute=True)
