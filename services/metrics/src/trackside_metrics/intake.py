"""Taking in batches within one transaction: what it stores of them, and what it tells watchers."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from sqlalchemy import Connection

from trackside_journal.committer import Ticket
from trackside_journal.directory import RunEntry
from trackside_journal.heads import Head
from trackside_journal.ingest import RawBatch
from trackside_journal.notices import Notice
from trackside_metrics.batches import Block, read_batch
from trackside_metrics.blocks import envelop, join, read_columns, tail_of
from trackside_metrics.identities import Identities, Identity
from trackside_metrics.register import Addition, Additions, SeriesRegister
from trackside_metrics.rows import Packed, Row, Span, insert_chunks, pack_block, small_row
from trackside_serving.errors import ServiceError

LARGE_POINTS: Final = 256
"""A block of so many points becomes a columnar chunk at once."""

_NOTICE_BYTES: Final = 48 << 10

MetricBatch = RawBatch[RunEntry]
"""A batch, and the run that it was let in for."""


@dataclass(slots=True)
class Unsettled:
    """What came to a run that is to be merged some time."""

    rows: int = 0
    points: int = 0


@dataclass(slots=True)
class _RunIntake:
    """What one transaction takes in for one run."""

    head: Head
    is_watched: bool
    started_at: int
    rows: list[Row] = field(default_factory=list)
    large: list[tuple[Identity, Packed]] = field(default_factory=list)
    told: list[tuple[int, bytes]] = field(default_factory=list)
    """For watchers: a part, and the sequence of its last block."""
    unsettled: Unsettled = field(default_factory=Unsettled)

    def take(self, blocks: Sequence[Block], *, is_late: bool) -> None:
        sequence = self.head.advance(len(blocks))
        for run in _runs(blocks):
            span = Span(self.head.run_id, sequence, sequence + len(run) - 1, is_late)
            if run[0].points >= LARGE_POINTS:
                self._take_large(run[0], span)
            else:
                self._take_small(run, span)
            sequence += len(run)

    def _take_large(self, block: Block, span: Span) -> None:
        assert block.layout is not None, "a large block has more than one point"
        packed = pack_block(span, read_columns(block.body, block.layout))
        self.large.append((block.identity, packed))
        if self.is_watched:
            whole = block.body + tail_of(span.first, is_late=span.late)
            self.told.append((span.last, envelop(whole)))
        if not packed.is_settled:
            self.unsettled.rows += 1
            self.unsettled.points += block.points

    def _take_small(self, blocks: Sequence[Block], span: Span) -> None:
        fragment = join([block.body for block in blocks], span.first, is_late=span.late)
        points = sum(block.points for block in blocks)
        self.rows.append(small_row(span, points, fragment))
        if self.is_watched:
            self.told.append((span.last, fragment))
        self.unsettled.rows += 1
        self.unsettled.points += points

    def additions(self) -> Additions:
        """Return what comes to series at once."""
        additions: Additions = {}
        for identity, packed in self.large:
            additions.setdefault(identity.digest, Addition(identity)).add(packed.summary)
        return additions

    def all_rows(self, numbers: Mapping[bytes, int]) -> Iterator[Row]:
        """Yield the rows to insert."""
        yield from self.rows
        for identity, packed in self.large:
            yield packed.row(numbers[identity.digest])

    def notices(self) -> Iterator[Notice]:
        """Yield what to tell watchers, in order."""
        topic, previous, last = self.head.run_id, self.started_at, self.head.sequence
        parts: list[bytes] = []
        size = 0
        for sequence, part in self.told:
            parts.append(part)
            size += len(part)
            if size >= _NOTICE_BYTES or sequence == last:
                yield Notice(topic, previous, sequence, b"".join(parts))
                parts, size, previous = [], 0, sequence
        if previous < last:
            yield Notice(topic, previous, last, None)


class Intake:
    """What one transaction takes in. Used in the committer's thread."""

    def __init__(
        self,
        heads: Mapping[str, Head],
        identities: Identities,
        *,
        is_watched: Callable[[str], bool],
        is_sealed: Callable[[RunEntry], bool],
    ) -> None:
        self._heads = heads
        self._identities = identities
        self._is_watched = is_watched
        self._is_sealed = is_sealed
        self._runs: dict[str, _RunIntake] = {}

    def take(self, ticket: Ticket[MetricBatch]) -> ServiceError | None:
        """Take in a batch whole, or return the error by which it is refused."""
        work = ticket.work
        try:
            blocks = read_batch(work.raw, self._identities)
        except ServiceError as error:
            return error
        run_id = work.key.run_id
        run = self._runs.get(run_id)
        if run is None:
            head = self._heads[run_id]
            run = _RunIntake(head, self._is_watched(run_id), head.sequence)
            self._runs[run_id] = run
        run.take(blocks, is_late=self._is_sealed(work.admission))
        return None

    def store(self, connection: Connection, register: SeriesRegister) -> None:
        """Store what was taken in, all but the heads."""
        additions = {run_id: run.additions() for run_id, run in self._runs.items() if run.large}
        numbers = register.add_points(connection, additions)
        rows = [
            row
            for run_id, run in self._runs.items()
            for row in run.all_rows(numbers.get(run_id, {}))
        ]
        insert_chunks(connection, rows)

    def notices(self) -> list[Notice]:
        """Return what to tell watchers once it is durable."""
        return [notice for run in self._runs.values() for notice in run.notices()]

    def run_ids(self) -> list[str]:
        """Return the runs that got points."""
        return list(self._runs)

    def unsettled(self) -> dict[str, Unsettled]:
        """Return what is to be merged some time, by run."""
        return {run_id: run.unsettled for run_id, run in self._runs.items() if run.unsettled.rows}


def _runs(blocks: Sequence[Block]) -> Iterator[Sequence[Block]]:
    """Yield the blocks in order: each large one by itself, small ones together."""
    if all(block.points < LARGE_POINTS for block in blocks):
        yield blocks
        return
    start = 0
    for index, block in enumerate(blocks):
        if block.points >= LARGE_POINTS:
            if start < index:
                yield blocks[start:index]
            yield blocks[index : index + 1]
            start = index + 1
    if start < len(blocks):
        yield blocks[start:]
