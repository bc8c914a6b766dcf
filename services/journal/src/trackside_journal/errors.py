"""What can go wrong in the journal, as callers are told it: the facts that each error carries.

ServiceError (trackside_serving, which also says their status and reason)
├── StoreUnavailableError
├── StorageFullError
├── CursorForeignError
├── CursorAheadError        latest
├── CursorExpiredError      earliest, latest
├── BatchGapError           batch_sequence, expected
├── BatchConflictError      batch_sequence
├── StaleEpochError         batch_sequence, epoch
└── ChunkCorruptError       first_sequence, last_sequence
StoreLockedError            at start only: another process holds the store
StoreTablesError            at start only: a version that is too different made the tables
"""

from trackside_serving import errors
from trackside_serving.errors import CursorForeignError, StorageFullError, StoreUnavailableError
from trackside_serving.starting import StoreError

__all__ = [
    "BatchConflictError",
    "BatchGapError",
    "ChunkCorruptError",
    "CursorAheadError",
    "CursorExpiredError",
    "CursorForeignError",
    "StaleEpochError",
    "StorageFullError",
    "StoreLockedError",
    "StoreTablesError",
    "StoreUnavailableError",
]


class CursorAheadError(errors.CursorAheadError):
    """The cursor is ahead of the store."""

    def __init__(self, *, latest: str) -> None:
        super().__init__(metadata={"latest": latest})


class CursorExpiredError(errors.CursorExpiredError):
    """The changes after the cursor are no longer kept."""

    def __init__(self, *, earliest: str, latest: str) -> None:
        super().__init__(metadata={"earliest": earliest, "latest": latest})


class BatchGapError(errors.BatchGapError):
    """A batch came too far ahead of the expected one, or waited too long for it."""

    def __init__(self, *, sequence: int, expected: int) -> None:
        super().__init__(
            f"Batch {sequence} came, batch {expected} is expected.",
            metadata={"batch_sequence": str(sequence), "expected": str(expected)},
        )


class BatchConflictError(errors.BatchConflictError):
    """A batch number was used before for other bytes."""

    def __init__(self, *, sequence: int) -> None:
        super().__init__(
            f"Batch {sequence} was stored before with other contents.",
            metadata={"batch_sequence": str(sequence)},
        )


class StaleEpochError(errors.StaleEpochError):
    """The producer has begun a later epoch."""

    def __init__(self, *, sequence: int, epoch: int) -> None:
        super().__init__(
            f"The producer has begun epoch {epoch}.",
            metadata={"batch_sequence": str(sequence), "epoch": str(epoch)},
        )


class ChunkCorruptError(errors.ChunkCorruptError):
    """A stored chunk fails its checksum; everything else can still be read."""

    def __init__(self, *, first: int, last: int) -> None:
        super().__init__(
            f"What is stored from sequence {first} to {last} fails its checksum.",
            metadata={"first_sequence": str(first), "last_sequence": str(last)},
        )


class StoreLockedError(StoreError):
    """Another process holds the store."""


class StoreTablesError(StoreError):
    """The tables of the store are not those of this version, nor of one that it goes on from."""

    def __init__(self, *, schema: str, maker: str, difference: str) -> None:
        super().__init__(
            f"The tables of {schema} were made by {maker or 'another version'} of Trackside and do"
            f" not fit this one ({difference}): start that version, or give this one a new store."
        )
