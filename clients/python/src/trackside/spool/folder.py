"""The folder of one spool: its name, its files, who holds it, and how far it was delivered."""

import contextlib
import itertools
import json
import os
import socket
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, Self

from trackside.spool.frames import (
    SERVICES,
    CorruptFrameError,
    Frame,
    NewerFrameError,
    Service,
    frames_in,
    readable_frames_in,
)
from trackside.spool.locks import FileLock
from trackside.spool.origin import facts_of, original_of

_WRITER: Final = "writer.lock"
_SUFFIX: Final = ".segment"
_CHUNK: Final = 64 << 10  # most headers are short; a note may be longer


class Abandoned(StrEnum):
    """What becomes of a spool whose writer is gone without having closed it."""

    CRASHED = "crashed"
    """The writer was the run's authority: its run is reported as crashed, and closed."""
    CLOSED = "closed"
    """The writer only contributed: it is closed for it."""
    KEPT = "kept"
    """The writer comes back and goes on with a later epoch: nothing is said for it."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who writes a spool."""

    run_id: str
    producer_id: str
    epoch: int = 1
    server: str = ""
    """Where it is to go: the `destination` of a location."""
    abandoned: Abandoned = Abandoned.CLOSED
    host: str = field(default_factory=socket.gethostname)

    def encode(self, last: dict[Service, int]) -> bytes:
        """Return the header of a segment that begins behind these sequences."""
        return json.dumps({**asdict(self), "last": [last[s] for s in SERVICES]}).encode()

    @classmethod
    def decode(cls, header: bytes) -> tuple[Self, dict[Service, int]]:
        """Return what `encode` was given.

        Raises:
            ValueError: These bytes are no header.
            TypeError: The header is one of another version.
        """
        facts: dict[str, Any] = json.loads(header)
        last = dict(zip(SERVICES, map(int, facts.pop("last")), strict=True))
        abandoned = Abandoned(facts.pop("abandoned"))
        return cls(**facts, abandoned=abandoned), last


@dataclass(slots=True)
class Position:
    """How far a spool was delivered."""

    created: bool = False
    """Whether the server knows the run."""
    acknowledged: dict[Service, int] = field(default_factory=lambda: dict.fromkeys(SERVICES, 0))
    """The highest sequence of each service up to which everything is acknowledged."""
    shift: dict[Service, int] = field(default_factory=lambda: dict.fromkeys(SERVICES, 0))
    """How much lower the numbers on the wire are: not 0 once a server has lost its count."""


class SpoolFolder:
    """The folder `HOME/spool/RUN/PRODUCER-EPOCH` and the files in it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.create_request: Path = path / "create"
        self._position = path / "delivered.json"
        self._writer = path / _WRITER

    @classmethod
    def of(cls, home: Path, identity: Identity) -> Self:
        """Return the folder of this writer."""
        name = f"{identity.producer_id}-{identity.epoch}"
        return cls(home / "spool" / identity.run_id / name)

    def make(self) -> None:
        """Make the folder, readable by its owner alone."""
        run = self.path.parent
        run.parent.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        run.parent.mkdir(mode=0o700, exist_ok=True)
        while True:
            run.mkdir(mode=0o700, exist_ok=True)
            # A process that has delivered the last spool of the run may just remove its folder.
            with contextlib.suppress(FileNotFoundError):
                return self.path.mkdir(mode=0o700, exist_ok=True)

    def segments(self) -> list[int]:
        """Return the numbers of the segments there are, in order."""
        try:
            names = os.listdir(self.path)  # noqa: PTH208 - a Path each is ten times the cost
        except (FileNotFoundError, NotADirectoryError):
            return []
        numbers = (name[: -len(_SUFFIX)] for name in names if name.endswith(_SUFFIX))
        return sorted(int(number) for number in numbers if number.isdecimal())

    def segment(self, number: int) -> Path:
        """Return the path of a segment."""
        return self.path / f"{number:08}{_SUFFIX}"

    def header(self, number: int) -> tuple[Identity, dict[Service, int]]:
        """Return who wrote a segment, and the sequences before it.

        Raises:
            CorruptFrameError: It has no readable header.
            OSError: It cannot be read.
        """
        with self.segment(number).open("rb") as file:
            data = b""
            while chunk := file.read(_CHUNK):
                data += chunk
                for frame, _ in frames_in(data):
                    try:
                        return Identity.decode(frame.payload)
                    except (ValueError, TypeError, KeyError) as error:
                        raise CorruptFrameError from error
        raise CorruptFrameError

    def has_contents(self) -> bool:
        """Say whether anything was ever written into it."""
        with contextlib.suppress(OSError):
            return any(self.segment(number).stat().st_size for number in self.segments())
        return False

    def identity(self) -> Identity | None:
        """Return who writes or wrote this spool; None when nothing readable is in it."""
        for number in self.segments():
            with contextlib.suppress(CorruptFrameError, OSError):
                return self.header(number)[0]
        return None

    def newest(self) -> Frame | None:
        """Return the newest frame that can be read, with the newest note; a header has one too."""
        newest: Frame | None = None
        for number in reversed(self.segments()):  # the last may have been begun and no more
            with contextlib.suppress(CorruptFrameError, NewerFrameError, OSError):
                for frame, _ in readable_frames_in(self.segment(number).read_bytes()):
                    note = frame.note or (newest.note if newest else b"")
                    newest = replace(frame, note=note)
            if newest is not None:
                break
        return newest

    def last_frames(self) -> list[Frame]:
        """Return the newest frame of each service in the newest segment that has any."""
        newest: dict[Service, Frame] = {}
        for number in reversed(self.segments()):
            with contextlib.suppress(CorruptFrameError, NewerFrameError, OSError):
                for frame, _ in readable_frames_in(self.segment(number).read_bytes()):
                    newest[frame.service] = frame
            newest.pop(Service.HEADER, None)
            if newest:
                break
        return list(newest.values())

    def last_written(self) -> float:
        """Return when something was written last, in seconds since 1970; 0 when never.

        Of a copy it may be when it was copied.
        """
        for number in self.segments()[-1:]:
            with contextlib.suppress(OSError):
                return self.segment(number).stat().st_mtime
        return 0.0

    def read_position(self) -> Position:
        """Return how far the spool was delivered; from the beginning when that is not known."""
        try:
            facts = json.loads(self._position.read_bytes())
            return Position(
                created=bool(facts["created"]),
                acknowledged=dict(zip(SERVICES, map(int, facts["acknowledged"]), strict=True)),
                shift=dict(zip(SERVICES, map(int, facts["shift"]), strict=True)),
            )
        except (OSError, ValueError, KeyError, TypeError):
            return Position()

    def write_position(self, position: Position) -> None:
        """Keep how far the spool was delivered. Best effort: at worst, batches are sent again."""
        facts = {
            "created": position.created,
            "acknowledged": [position.acknowledged[s] for s in SERVICES],
            "shift": [position.shift[s] for s in SERVICES],
        }
        with contextlib.suppress(OSError):
            write_whole(self._position, json.dumps(facts).encode())

    def drop_delivered(self, acknowledged: dict[Service, int]) -> None:
        """Delete the segments of which everything is acknowledged, but never the newest."""
        numbers = self.segments()
        for number, following in itertools.pairwise(numbers):
            try:
                last = self.header(following)[1]
            except (CorruptFrameError, OSError):
                return
            if any(last[service] > acknowledged[service] for service in SERVICES):
                return
            with contextlib.suppress(OSError):
                self.segment(number).unlink()

    def remove(self) -> None:
        """Delete the folder, and that of the run when it was the last in it."""
        with contextlib.suppress(OSError):
            for file in self.path.iterdir():
                file.unlink()
            self.path.rmdir()
            self.path.parent.rmdir()

    def sync_names(self) -> None:
        """Make the names of its files, and its own, outlast the machine.

        Raises:
            OSError: The disk does not do it.
        """
        home = self.path.parent.parent.parent
        for folder in (self.path, self.path.parent, self.path.parent.parent, home):
            sync_path(folder)

    def sync(self) -> None:
        """Make everything in it outlast the machine, as far as the disk does it."""
        with contextlib.suppress(OSError):
            for number in self.segments():
                sync_path(self.segment(number))
            self.sync_names()

    def has_writer(self) -> bool:
        """Say whether the process that writes it lives, on this machine.

        Any number of processes may ask at once, and none takes another one for the writer.
        """
        lock = self._lock_of_writer(shared=True)
        if lock is not None:
            lock.release()
        return lock is None

    def lock_for_writing(self) -> FileLock | None:
        """Take the writer's lock; None when another process writes.

        Of a copy that of the original, while that is there: its writer may be alive.
        """
        return self._lock_of_writer(shared=False)

    def _lock_of_writer(self, *, shared: bool) -> FileLock | None:
        original = self.original()
        return FileLock.take((original or self).path / _WRITER, shared=shared)

    def original(self) -> Self | None:
        """Return the folder of which this one is a copy, if that is still there."""
        path = original_of(self.path, self._writer)
        return None if path is None else type(self)(path)

    def note_writer(self) -> None:
        """Note where this is, by which copies are known. To be called with the writer's lock."""
        with contextlib.suppress(OSError):
            self._writer.write_bytes(facts_of(self.path))

    def lock_for_delivery(self) -> FileLock | None:
        """Take the deliverer's lock; None when another process delivers."""
        return FileLock.take(self.path / "delivery.lock")


def spools(home: Path, run_id: str = "*") -> Iterator[SpoolFolder]:
    """Yield the spools of a home, or of one run in it."""
    for path in sorted((home / "spool").glob(f"{run_id}/*-*")):
        yield SpoolFolder(path)


def spools_in(folder: Path) -> Iterator[SpoolFolder]:
    """Yield the spools in a folder: a home, its `spool`, the folder of a run, or a single spool."""
    for pattern in ("spool/*/*-*", "*/*-*", "*-*"):
        yield from filter(SpoolFolder.segments, map(SpoolFolder, sorted(folder.glob(pattern))))
    if (single := SpoolFolder(folder)).segments():
        yield single


def write_whole(path: Path, contents: bytes) -> None:
    """Replace a file in one step, so that a reader never sees half of it.

    Raises:
        OSError: The file is as it was before.
    """
    part = path.with_name(f"{path.name}.part")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        os.write(descriptor, contents)
    finally:
        os.close(descriptor)
    part.replace(path)


def sync_path(path: Path) -> None:
    """Put a file, or the names in a folder, on the disk itself.

    Raises:
        OSError: The disk does not take it.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
