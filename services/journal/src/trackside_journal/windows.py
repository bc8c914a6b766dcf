"""What a service remembers of a producer so that every batch counts exactly once; pure rules.

For each (run, producer): the epoch, the highest contiguous batch sequence, and checksums of
the last 64 batches in a ring, so that a batch number used again for other bytes is noticed.
"""

import struct
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

REMEMBERED: Final = 64
"""How many of the latest checksums are kept."""

AHEAD_LIMIT: Final = 32
"""How far ahead of the expected batch one may come and be held."""

HOLD_SECONDS: Final = 10.0
"""How long a batch is held for the one before it."""

_CHECKSUM: Final = struct.Struct("<I")
EMPTY_CHECKSUMS: Final = bytes(REMEMBERED * _CHECKSUM.size)


class Verdict(Enum):
    """What to do with a batch."""

    TAKE = auto()
    """It is the next one."""
    DUPLICATE = auto()
    """It is stored already: acknowledge and drop it."""
    CONFLICT = auto()
    """Its number was used for other bytes."""
    HOLD = auto()
    """One before it is missing; keep it for a while."""
    GAP = auto()
    """It is too far ahead to be held."""
    STALE = auto()
    """The producer has begun a later epoch."""


@dataclass(slots=True)
class ProducerWindow:
    """The memory of one producer of one run."""

    epoch: int = 1
    through: int = 0
    checksums: bytearray | bytes = EMPTY_CHECKSUMS
    changed: bool = False

    def judge(self, *, epoch: int, sequence: int, checksum: int) -> Verdict:
        """Return what to do with a batch; changes nothing.

        A later epoch begins with batch 1, and fences the earlier ones once that is stored.
        """
        if epoch < self.epoch:
            return Verdict.STALE
        through = self.through_in(epoch)
        if sequence == through + 1:
            return Verdict.TAKE
        if sequence > through:
            return Verdict.HOLD if sequence <= through + AHEAD_LIMIT else Verdict.GAP
        if sequence > through - REMEMBERED and self._checksum(sequence) != checksum:
            return Verdict.CONFLICT
        return Verdict.DUPLICATE

    def take(self, *, epoch: int, sequence: int, checksum: int) -> None:
        """Remember that the next batch was stored."""
        if epoch != self.epoch:
            self.epoch, self.checksums = epoch, EMPTY_CHECKSUMS
        if not isinstance(self.checksums, bytearray):
            self.checksums = bytearray(self.checksums)
        _CHECKSUM.pack_into(self.checksums, sequence % REMEMBERED * 4, checksum)
        self.through = sequence
        self.changed = True

    def through_in(self, epoch: int) -> int:
        """Return the highest contiguous batch sequence in an epoch that is not stale."""
        return self.through if epoch == self.epoch else 0

    def _checksum(self, sequence: int) -> int:
        value: int = _CHECKSUM.unpack_from(self.checksums, sequence % REMEMBERED * 4)[0]
        return value
