"""What the series of a run have come to: last and best of the most telling, brought up to date.

Figures of a run at work are kept in memory, so that only what came since is read. Points may
be counted in again, for example when they were merged meanwhile: last, smallest and largest
value stay the same.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, or_, select

from trackside_metrics.block_table import BlockTableBuilder
from trackside_metrics.goals import guess_goal
from trackside_metrics.identities import Identities, Identity
from trackside_metrics.rows import fetch, read_chunks
from trackside_metrics.snapshots import begin_snapshot
from trackside_metrics.summaries import (
    SUMMARY_COLUMNS,
    Summary,
    are_ordered,
    join_summaries,
    summarize,
    summary_of_row,
)
from trackside_metrics.tables import CHUNK, HEAD, IS_UNSETTLED, SERIES, SMALL
from trackside_protos.metrics.v1 import series_pb2
from trackside_protos.runs.v1 import run_pb2, runs_service_pb2

MOST_SERIES: Final = 64
"""How many series of a run are told."""

CONTEXT_CHARACTERS: Final = 512
"""How long the context of a series that is told is at most, as JSON."""

_NO_CONTEXT: Final = "{}"
_NUL: Final = "\\u0000"
"""As it stands in JSON; RunsService takes no text with it."""
_SYSTEM: Final = "system/"
_COLUMNS: Final = tuple(SERIES.c[name] for name in SUMMARY_COLUMNS)

_Rank = tuple[bool, bool, int]
"""The lower, the more telling: of the program, of no context, of long standing."""


@dataclass(slots=True)
class _Kept:
    identity: Identity
    rank: _Rank
    summary: Summary


@dataclass(slots=True)
class RunFigures:
    """The figures of one run as of a block."""

    run_id: str
    sequence: int = 0
    """Of the block."""
    _kept: dict[bytes, _Kept] = field(default_factory=dict[bytes, _Kept])
    _known: int = 0
    """The highest number of a series that was looked at."""
    _arrivals: int = 0

    def read(self, connection: Connection, identities: Identities) -> None:
        """Count in what is stored and not counted in yet. Called with a reader's connection.

        Raises:
            ChunkCorruptError: A row is not what was stored.
        """
        begin_snapshot(connection)
        head = connection.execute(
            select(HEAD.c.sequence).where(HEAD.c.run_id == self.run_id)
        ).scalar_one_or_none()
        for number, key, context, *figures in fetch(connection, self._changed_series()):
            self._known = max(self._known, number)
            self._count(identities.stored(key, context), summary_of_row(figures))
        for identity, summary in self._small_blocks(connection, identities):
            self._count(identity, summary)
        self.sequence = head or 0

    def message(self) -> runs_service_pb2.RunFigures:
        """Return the figures as they are told."""
        return runs_service_pb2.RunFigures(
            run_id=self.run_id,
            sequence=self.sequence,
            figures=[_figure(kept) for kept in self._kept.values()],
        )

    def _changed_series(self) -> Any:  # noqa: ANN401 - SQL
        is_asked: ColumnElement[bool] = SERIES.c.series_id > self._known
        if self._kept:
            is_asked = or_(is_asked, SERIES.c.digest.in_(list(self._kept)))
        columns = (SERIES.c.series_id, SERIES.c.key, SERIES.c.context, *_COLUMNS)
        found = select(*columns).where(SERIES.c.run_id == self.run_id, is_asked)
        return found.order_by(SERIES.c.series_id)

    def _small_blocks(
        self, connection: Connection, identities: Identities
    ) -> Iterator[tuple[Identity, Summary]]:
        builder = BlockTableBuilder(identities, self._wants)
        rows = read_chunks(
            connection,
            CHUNK.c.run_id == self.run_id,
            CHUNK.c.last_sequence > self.sequence,
            IS_UNSETTLED,
            CHUNK.c.level == SMALL,
        )
        for row in rows:
            builder.add_fragment(row.fragment(), row.first, is_late=row.late)
        for identity, points, _ in builder.build().by_series():
            is_ordered = are_ordered(points.steps, points.times)
            yield identity, summarize(points, is_ordered=is_ordered)

    def _wants(self, identity: Identity) -> bool:
        if identity.digest in self._kept:
            return True
        if len(identity.context) > CONTEXT_CHARACTERS or _NUL in identity.context:
            return False
        if len(self._kept) < MOST_SERIES:
            return True
        return self._rank(identity) < max(kept.rank for kept in self._kept.values())

    def _count(self, identity: Identity, summary: Summary) -> None:
        kept = self._kept.get(identity.digest)
        if kept is not None:
            kept.summary = join_summaries(kept.summary, summary)
        elif self._wants(identity):
            self._kept[identity.digest] = _Kept(identity, self._rank(identity), summary)
            self._arrivals += 1
            if len(self._kept) > MOST_SERIES:
                worst = max(self._kept.values(), key=lambda kept: kept.rank)
                del self._kept[worst.identity.digest]

    def _rank(self, identity: Identity) -> _Rank:
        is_system = identity.key.startswith(_SYSTEM)
        return is_system, identity.context != _NO_CONTEXT, self._arrivals


def _figure(kept: _Kept) -> run_pb2.SeriesFigure:
    identity, summary = kept.identity, kept.summary
    is_minimized = guess_goal(identity.key) == series_pb2.SERIES_GOAL_MINIMIZE
    best = summary.value_min if is_minimized else summary.value_max
    return run_pb2.SeriesFigure(
        key=identity.key,
        context=identity.context_map,
        last=_or_none(summary.last_value),
        best=_or_none(best),
    )


def _or_none(value: float) -> float | None:
    return None if math.isnan(value) else value
