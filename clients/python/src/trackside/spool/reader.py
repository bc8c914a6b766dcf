"""The reading end of a spool: the batches of one service, in order, while others are written."""

import os
from collections.abc import Callable
from typing import Final

from trackside.spool.folder import SpoolFolder
from trackside.spool.frames import (
    CorruptFrameError,
    Frame,
    NewerFrameError,
    Service,
    readable_frames_in,
)

_CHUNK: Final = 256 << 10


class SpoolReader:
    """Goes through a spool once, forward, for one service.

    Follows the file while it grows, over segments that are deleted, over one that the writer
    replaced by a smaller one, and over what is damaged. Holds nothing open between reads.
    """

    def __init__(self, folder: SpoolFolder, service: Service, after: int = 0) -> None:
        self._folder = folder
        self._service = service
        self._segment = 0
        self._file = (0, 0)
        self._offset = 0
        self.last: int = after
        """The number of the newest batch that was read."""
        self.is_newer: bool = False
        """Whether a later version has written what follows."""

    def read(self) -> list[Frame]:
        """Return the next batches, at least one if there is one, at most what one read finds."""
        found: list[Frame] = []
        while not (found or self.is_newer):
            later = [n for n in self._folder.segments() if n > self._segment]
            is_complete = (lambda: True) if later else (lambda: not self._folder.has_writer())
            at_end = self._read_segment(found, is_complete) if self._segment else True
            if found or not at_end:
                continue
            if not later:
                break
            self._segment, self._offset, self._file = later[0], 0, (0, 0)
        return found

    def _read_segment(self, found: list[Frame], is_complete: Callable[[], bool]) -> bool:
        """Read on in the present segment; say whether nothing more can be read there now."""
        try:
            descriptor = os.open(self._folder.segment(self._segment), os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return True
        try:
            facts = os.fstat(descriptor)
            if self._file != (facts.st_dev, facts.st_ino):
                self._file, self._offset = (facts.st_dev, facts.st_ino), 0
            size, data = _CHUNK, b""
            while True:
                data = os.pread(descriptor, size, self._offset)
                is_rest = len(data) < size
                if self._take(data, found, is_complete if is_rest else _never) or is_rest:
                    break
                size *= 4
        except OSError:
            return True
        finally:
            os.close(descriptor)
        return len(data) < size

    def _take(self, data: bytes, found: list[Frame], is_complete: Callable[[], bool]) -> bool:
        start = self._offset
        try:
            for frame, end in readable_frames_in(data, is_complete):
                self._offset = start + end
                if frame.service is self._service and frame.sequence > self.last:
                    found.append(frame)
                    self.last = frame.sequence
        except CorruptFrameError:
            pass  # there may be whole ones in what comes next
        except NewerFrameError:
            self.is_newer = True
        return self._offset > start


def _never() -> bool:
    return False
