"""Cursors: opaque tokens that name a server, a service, a run or list, and a position.

Format, version 1, base64url without padding: version (1 byte), service (1 byte), server id
(16 bytes ASCII), topic (16 bytes ASCII, a run id or `*` for a list, padded with spaces),
position (8 bytes, big-endian), CRC-32C of all before (4 bytes).
"""

import base64
import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from trackside_journal.checksums import crc32c
from trackside_journal.errors import CursorForeignError

_VERSION: Final = 1
_BODY: Final = struct.Struct(">BB16s16sQ")
_CHECKSUM: Final = struct.Struct(">I")
_LENGTH: Final = -(-(_BODY.size + _CHECKSUM.size) * 8 // 6)
_PADDING: Final = "=" * (-_LENGTH % 4)

LIST_TOPIC: Final = "*"
"""The topic of everything that a service has, as against one run's."""


class JournalKind(IntEnum):
    """The record that a cursor points into. The values are part of the format."""

    RUNS = 1
    LOGS = 2
    METRICS = 3
    RUN_LIST = 4
    RUN_DIRECTORY = 5


@dataclass(frozen=True, slots=True)
class CursorMint:
    """Makes and reads the cursors of one record of one server."""

    server_id: str
    kind: JournalKind

    def encode(self, topic: str, position: int) -> str:
        """Return the cursor after `position`, an item's number or 0 for the beginning."""
        body = self._prefix(topic) + position.to_bytes(8, "big")
        raw = body + _CHECKSUM.pack(crc32c(body))
        return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()

    def decode(self, topic: str, cursor: str) -> int:
        """Return the position that a cursor points after.

        Raises:
            CursorForeignError: The cursor is damaged, or made for something else.
        """
        if len(cursor) != _LENGTH:
            raise CursorForeignError
        try:
            raw = base64.urlsafe_b64decode(cursor + _PADDING)
        except ValueError as error:
            raise CursorForeignError from error
        position = int.from_bytes(raw[_BODY.size - 8 : _BODY.size], "big")
        # Base64 is read leniently, so only the very cursor that we would make is one.
        if cursor != self.encode(topic, position):
            raise CursorForeignError
        return position

    def _prefix(self, topic: str) -> bytes:
        return _BODY.pack(
            _VERSION, self.kind, self.server_id.encode().ljust(16), topic.encode().ljust(16), 0
        )[:-8]
