"""Series by key and context, page by page: those that are stored, joined with the tail."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, select, tuple_

from trackside_metrics.identities import Identities, Identity
from trackside_metrics.register import read_series
from trackside_metrics.rows import fetch
from trackside_metrics.selection import Selection
from trackside_metrics.snapshots import begin_snapshot
from trackside_metrics.summaries import (
    SUMMARY_COLUMNS,
    Summary,
    are_ordered,
    join_summaries,
    summarize,
    summary_of_row,
)
from trackside_metrics.tables import SERIES
from trackside_metrics.tail import read_tail
from trackside_serving.errors import InvalidPageTokenError

Order = tuple[str, str]

_FIGURES = tuple(SERIES.c[name] for name in SUMMARY_COLUMNS)


@dataclass(slots=True)
class ListedSeries:
    """A series and the figures of all its points."""

    identity: Identity
    summary: Summary


@dataclass(frozen=True, slots=True)
class Listing:
    """What is asked for."""

    run_id: str
    selection: Selection
    page_size: int
    after: bytes | None
    """The digest of the last series of the page before."""
    start_millis: int | None = None
    """Only series with a point of this time or later; None: all."""

    def wants(self, one: ListedSeries) -> bool:
        """Whether a series has a point of a time that is wanted."""
        return self.start_millis is None or one.summary.time_max >= self.start_millis


@dataclass(frozen=True, slots=True)
class ListedPage:
    """A page of series, and whether there are more."""

    series: Sequence[ListedSeries]
    has_more: bool


def list_page(connection: Connection, listing: Listing, identities: Identities) -> ListedPage:
    """Return a page.

    Raises:
        InvalidPageTokenError: There is no series of the digest.
        ChunkCorruptError: A row of the tail is not what was stored.
    """
    begin_snapshot(connection)
    tail = _tail_series(connection, listing, identities)
    after = _order_of(connection, listing, tail)
    page = _stored_after(connection, listing, after, identities)
    is_whole = len(page) <= listing.page_size
    found = {one.identity.digest: one for one in page}
    stored = read_series(connection, listing.run_id, list(tail))
    for digest, one in tail.items():
        order = one.identity.order
        is_beyond = not is_whole and order > page[-1].identity.order
        if is_beyond or (after is not None and order <= after):
            continue
        if digest in stored:
            one.summary = join_summaries(stored[digest][1], one.summary)
        if listing.wants(one):
            found[digest] = one
    series = sorted(found.values(), key=lambda one: one.identity.order)
    return ListedPage(series[: listing.page_size], len(series) > listing.page_size)


def _tail_series(
    connection: Connection, listing: Listing, identities: Identities
) -> dict[bytes, ListedSeries]:
    table = read_tail(connection, listing.run_id, identities, listing.selection.wants)
    found: dict[bytes, ListedSeries] = {}
    for identity, points, _ in table.by_series():
        summary = summarize(points, is_ordered=are_ordered(points.steps, points.times))
        found[identity.digest] = ListedSeries(identity, summary)
    return found


def _order_of(
    connection: Connection, listing: Listing, tail: dict[bytes, ListedSeries]
) -> Order | None:
    if listing.after is None:
        return None
    if listing.after in tail:
        return tail[listing.after].identity.order
    row = connection.execute(
        select(SERIES.c.key, SERIES.c.context).where(
            SERIES.c.run_id == listing.run_id, SERIES.c.digest == listing.after
        )
    ).one_or_none()
    if row is None:
        raise InvalidPageTokenError
    return row[0], row[1]


def _stored_after(
    connection: Connection, listing: Listing, after: Order | None, identities: Identities
) -> list[ListedSeries]:
    """Return stored series, one more than a page has if there are as many."""
    found: list[ListedSeries] = []
    wanted = listing.page_size + 1
    while True:
        page = list(_select(connection, listing, after, identities))
        found += [one for one in page if listing.selection.wants(one.identity)]
        if len(found) >= wanted or len(page) < wanted:
            return found[:wanted]
        after = page[-1].identity.order


def _select(
    connection: Connection, listing: Listing, after: Order | None, identities: Identities
) -> Iterator[ListedSeries]:
    query = (
        select(SERIES.c.key, SERIES.c.context, *_FIGURES)
        .where(SERIES.c.run_id == listing.run_id, *listing.selection.conditions())
        .order_by(SERIES.c.key, SERIES.c.context)
        .limit(listing.page_size + 1)
    )
    if listing.start_millis is not None:
        query = query.where(SERIES.c.time_max >= listing.start_millis)
    if after is not None:
        query = query.where(tuple_(SERIES.c.key, SERIES.c.context) > after)
    for key, context, *figures in fetch(connection, query):
        yield ListedSeries(identities.stored(key, context), summary_of_row(figures))
