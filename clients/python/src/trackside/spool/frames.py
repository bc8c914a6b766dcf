"""How one batch stands in a spool file: framed, checksummed, ended by a cut without harm."""

import re
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import Final


class Service(IntEnum):
    """The service that a frame is for; `HEADER` is the spool's own."""

    HEADER = 0
    RUNS = 1
    LOGS = 2
    METRICS = 3


SERVICES: Final[tuple[Service, ...]] = (Service.RUNS, Service.LOGS, Service.METRICS)
"""The services that batches go to."""

_KNOWN: Final = frozenset(Service)

_LAYOUT: Final = struct.Struct("<IIQIIBB")
"""Length of the payload, CRC-32, sequence, items, length of the note, service, flags."""

_AFTER_CHECKSUM: Final = 8
_CLOSING: Final = 1
_SUBSTITUTE: Final = 2
_LONGEST: Final = 64 << 20
_COULD_BEGIN: Final = re.compile(rb"(?s)(?=(?!\0{4}).{3}[\0-\4].{9}\0{3}.{7}[\0-\4][\0-\3][\0-\3])")
"""Finds where a frame could begin: each of its numbers has zeros in its highest bytes."""


class CorruptFrameError(Exception):
    """The bytes are no frame: the file was damaged after it was written."""


class NewerFrameError(Exception):
    """The frame is whole, and for a service that only later versions know."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One batch: its number and the request without its `batch` field.

    The batch field is put in front when the frame is sent, so that nothing needs to be encoded
    again when a batch gets another number.
    """

    service: Service
    sequence: int
    payload: bytes
    items: int = 1
    """How many reports, entries or points it carries."""
    note: bytes = b""
    """What the producer wants to find again beside the newest frame; see `SpoolWriter.note`."""
    closing: bool = False
    """Whether it may be sent only when everything else was acknowledged."""
    substitute: bool = False
    """Whether it stands for a batch whose contents were dropped."""

    def encode(self) -> bytes:
        """Return the bytes that stand in a file."""
        flags = _CLOSING * self.closing | _SUBSTITUTE * self.substitute
        head = _LAYOUT.pack(
            len(self.payload),
            0,
            self.sequence,
            self.items,
            len(self.note),
            self.service,
            flags,
        )
        body = b"".join((head[_AFTER_CHECKSUM:], self.payload, self.note))
        return b"".join((head[:4], zlib.crc32(body).to_bytes(4, "little"), body))


def frames_in(data: bytes, start: int = 0) -> Iterator[tuple[Frame, int]]:
    """Yield the whole frames from `start` on, each with the offset behind it.

    Ends before a frame that is not complete: it was cut, or is being written.

    Raises:
        CorruptFrameError: After the frames before it, at one whose checksum is wrong.
        NewerFrameError: After the frames before it, at one that a later version has written.
    """
    while start + _LAYOUT.size <= len(data):
        length, checksum, sequence, items, note_length, service, flags = _LAYOUT.unpack_from(
            data, start
        )
        if length > _LONGEST or note_length > _LONGEST:
            raise CorruptFrameError
        payload_end = start + _LAYOUT.size + length
        end = payload_end + note_length
        if end > len(data):
            return
        if zlib.crc32(memoryview(data)[start + _AFTER_CHECKSUM : end]) != checksum:
            raise CorruptFrameError
        if service not in _KNOWN:
            raise NewerFrameError
        yield (
            Frame(
                service=Service(service),
                sequence=sequence,
                payload=data[start + _LAYOUT.size : payload_end],
                items=items,
                note=data[payload_end:end],
                closing=bool(flags & _CLOSING),
                substitute=bool(flags & _SUBSTITUTE),
            ),
            end,
        )
        start = end


def readable_frames_in(
    data: bytes, is_complete: Callable[[], bool] = lambda: True
) -> Iterator[tuple[Frame, int]]:
    """Yield the frames that are whole, those behind damaged ones too, as `frames_in` does.

    Args:
        data: What a file holds.
        is_complete: Whether nobody writes the file any more. A frame that goes beyond its end was
            damaged then, or is the last one, which was cut.

    Raises:
        CorruptFrameError: After the last frame that can be read, when what follows is damaged.
        NewerFrameError: As `frames_in`.
    """
    start = 0
    while start < len(data):
        try:
            for frame, end in frames_in(data, start):
                yield frame, end
                start = end
            if start == len(data) or not is_complete():
                return
        except CorruptFrameError:
            pass
        start = _next_frame(data, start + 1)


def _next_frame(data: bytes, start: int) -> int:
    """Return where the next whole frame begins.

    Raises:
        CorruptFrameError: There is none.
    """
    for match in _COULD_BEGIN.finditer(data, start):
        try:
            if next(frames_in(data, match.start()), None) is not None:
                return match.start()
        except CorruptFrameError:
            pass
    raise CorruptFrameError
