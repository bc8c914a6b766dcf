"""What the bus is told of a transaction."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from trackside_journal import wire
from trackside_journal.bus import Notice
from trackside_journal.cursor import LIST_TOPIC
from trackside_protos.runs.v1 import change_pb2
from trackside_runs.record import RunRecord

DIRECTORY_TOPIC: Final = "directory"
"""The topic of what other services must know."""

REVOCATIONS_TOPIC: Final = "revocations"
"""The topic of tokens that are refused."""

AGENTS_TOPIC: Final = "agents"
"""The topic of what waits for agents and sessions."""

RUN_KIND: Final = change_pb2.RunChange.RUN_FIELD_NUMBER
"""The kind of a change of the run itself."""

_CHANGES: Final = 2
_POSITION: Final = 1
_RUN: Final = 2

IsWatched = Callable[[str], bool]
"""Whether anybody may watch a topic: what nobody does is not encoded."""


@dataclass(slots=True)
class Entry:
    """One change as it is stored."""

    record: RunRecord
    sequence: int
    kind: int
    encoded: bytes
    """The `RunChange`."""
    run: bytes = b""
    """The run alone, as lists show it, in a change of the run."""
    position: int = 0


def change_notices(
    entries: Sequence[Entry], previous: int, last: int, is_watched: IsWatched
) -> list[Notice]:
    """Return the notices of changes, in order of their positions.

    Args:
        entries: The changes.
        previous: The position before those of the transaction.
        last: Its last position.
        is_watched: Whether anybody may watch a topic.
    """
    by_run: dict[str, list[Entry]] = {}
    for entry in entries:
        by_run.setdefault(entry.record.run_id, []).append(entry)
    notices = [_of_run(run_id, changes, is_watched) for run_id, changes in by_run.items()]
    listed = _joined_list(entries) if is_watched(LIST_TOPIC) else None
    return [*notices, Notice(LIST_TOPIC, previous, last, listed)]


def seal_notices(records: Iterable[RunRecord]) -> list[Notice]:
    """Return notices by which watchers of sealed runs look at the store and find the end."""
    return [
        Notice(record.run_id, record.message.sequence, record.message.sequence, None)
        for record in records
        if record.message.sealed
    ]


def list_change(position: int, run: bytes) -> bytes:
    """Return a change of an encoded run as a watch of the list tells it, encoded in its field."""
    body = wire.varint_field(_POSITION, position) + wire.bytes_field(_RUN, run)
    return wire.bytes_field(_CHANGES, body)


def _of_run(run_id: str, changes: Sequence[Entry], is_watched: IsWatched) -> Notice:
    payload = None
    if is_watched(run_id):
        payload = b"".join(wire.bytes_field(_CHANGES, change.encoded) for change in changes)
    return Notice(run_id, changes[0].sequence - 1, changes[-1].sequence, payload)


def _joined_list(entries: Iterable[Entry]) -> bytes:
    return b"".join(
        list_change(entry.position, entry.run) for entry in entries if entry.kind == RUN_KIND
    )
