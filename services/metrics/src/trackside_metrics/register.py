"""The register of series: the number of each series of a run, and the figures of its chunks."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from sqlalchemy import Connection, bindparam, func, select

from trackside_metrics.identities import Identity
from trackside_metrics.rows import Row, fetch
from trackside_metrics.summaries import (
    SUMMARY_COLUMNS,
    Summary,
    join_summaries,
    summary_of_row,
)
from trackside_metrics.tables import SERIES

_DIGESTS_A_QUERY: Final = 500
_REMEMBERED: Final = 20_000

_FIGURES: Final = tuple(SERIES.c[name] for name in SUMMARY_COLUMNS)
_SELECT: Final = select(SERIES.c.digest, SERIES.c.series_id, *_FIGURES).where(
    SERIES.c.run_id == bindparam("run_id"),
    SERIES.c.digest.in_(bindparam("digests", expanding=True)),
)
_UPDATE: Final = (
    SERIES.update()
    .where(SERIES.c.run_id == bindparam("a_run"), SERIES.c.series_id == bindparam("a_series"))
    .values({name: bindparam(name) for name in SUMMARY_COLUMNS})
)


@dataclass(slots=True)
class Addition:
    """Points that come to a series; no summary: they were counted already."""

    identity: Identity
    summary: Summary | None = None

    def add(self, summary: Summary) -> None:
        """Count points."""
        self.summary = join_summaries(self.summary, summary)


class Known(NamedTuple):
    """A series that is stored."""

    number: int
    summary: Summary


Additions = dict[bytes, Addition]
"""By digest."""


class SeriesRegister:
    """Counts points to series. Lives in the committer's thread."""

    def __init__(self) -> None:
        self._remembered: dict[tuple[str, bytes], Known] = {}

    def forget(self) -> None:
        """Forget what is in memory: a transaction that changed it was rolled back."""
        self._remembered = {}

    def add_points(
        self, connection: Connection, additions: Mapping[str, Additions]
    ) -> dict[str, dict[bytes, int]]:
        """Count points to the series of runs; make those that are new; return all numbers.

        The runs' heads must be locked.
        """
        numbers: dict[str, dict[bytes, int]] = {}
        updates: list[Row] = []
        for run_id, of_run in additions.items():
            known = self._known(connection, run_id, of_run)
            numbers[run_id] = {}
            new: list[Addition] = []
            for digest, addition in of_run.items():
                if digest not in known:
                    new.append(addition)
                    continue
                number, summary = known[digest]
                numbers[run_id][digest] = number
                if addition.summary is not None:
                    joined = join_summaries(summary, addition.summary)
                    updates.append({"a_run": run_id, "a_series": number, **joined.row()})
                    self._remember(connection, run_id, digest, Known(number, joined))
            if new:
                numbers[run_id].update(_make(connection, run_id, new))
        if updates:
            connection.execute(_UPDATE, updates)
        return numbers

    def _known(
        self, connection: Connection, run_id: str, digests: Iterable[bytes]
    ) -> dict[bytes, Known]:
        known: dict[bytes, Known] = {}
        unknown: list[bytes] = []
        for digest in digests:
            remembered = self._remembered.get((run_id, digest))
            if remembered is None:
                unknown.append(digest)
            else:
                known[digest] = remembered
        return known | read_series(connection, run_id, unknown)

    def _remember(self, connection: Connection, run_id: str, digest: bytes, known: Known) -> None:
        """Spare the next transaction the reading, where there is no other writer."""
        if connection.dialect.name == "sqlite":
            if len(self._remembered) >= _REMEMBERED:
                self._remembered.clear()
            self._remembered[run_id, digest] = known


def read_series(
    connection: Connection, run_id: str, digests: Sequence[bytes]
) -> dict[bytes, Known]:
    """Return the numbers and figures of series, by digest; those that are stored."""
    found: dict[bytes, Known] = {}
    for start in range(0, len(digests), _DIGESTS_A_QUERY):
        some = {"run_id": run_id, "digests": digests[start : start + _DIGESTS_A_QUERY]}
        for digest, number, *figures in fetch(connection, _SELECT, some):
            found[digest] = Known(number, summary_of_row(figures))
    return found


def _make(connection: Connection, run_id: str, additions: Iterable[Addition]) -> dict[bytes, int]:
    highest: int = connection.execute(
        select(func.coalesce(func.max(SERIES.c.series_id), 0)).where(SERIES.c.run_id == run_id)
    ).scalar_one()
    numbers: dict[bytes, int] = {}
    rows: list[Row] = []
    for number, addition in enumerate(additions, highest + 1):
        identity, summary = addition.identity, addition.summary
        assert summary is not None, "a series comes into being with its first points"
        numbers[identity.digest] = number
        rows.append(
            {
                **summary.row(),
                "run_id": run_id,
                "series_id": number,
                "digest": identity.digest,
                "key": identity.key,
                "context": identity.context,
            }
        )
    connection.execute(SERIES.insert(), rows)
    return numbers
