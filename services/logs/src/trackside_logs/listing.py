"""Pages of entries: forward from a sequence, or the latest ones backward; bounded work for each."""

from dataclasses import dataclass, field
from typing import Final

from sqlalchemy import Connection

from trackside_journal.errors import ChunkCorruptError
from trackside_logs.blocks import Part, Selection, Wanted, select
from trackside_logs.filters import EntryFilter
from trackside_logs.page_tokens import PageStart
from trackside_logs.reading import latest_sequence, parts_after, parts_before

SCANNED_BYTES: Final = 4 << 20
"""How much is decompressed for a page, about."""

_PAGE_BYTES: Final = 2 << 20


@dataclass(frozen=True, slots=True)
class Listing:
    """What is asked for."""

    run_id: str
    wanted: EntryFilter
    after: int
    through: int
    """0: to the latest."""
    last: int
    """How many of the latest entries; 0: from the first."""
    page_size: int
    start: PageStart | None
    """Where the page begins, when it is not the first."""


@dataclass(slots=True)
class ListedPage:
    """A page while it grows, and when it is done."""

    head: int
    contents: list[bytes] = field(default_factory=list[bytes])
    count: int = 0
    next_start: PageStart | None = None
    scanned: int = 0
    size: int = 0

    def scan(self, part: Part, wanted: EntryFilter, limits: Wanted) -> Selection:
        """Take what is wanted of a part."""
        self.scanned += len(part.content)
        selection = choose(part, wanted, limits)
        if selection.count:
            self.contents.append(selection.content)
            self.count += selection.count
            self.size += len(selection.content)
        return selection

    @property
    def is_full(self) -> bool:
        """Whether enough was read or found for one page."""
        return self.scanned >= SCANNED_BYTES or self.size >= _PAGE_BYTES


def list_page(connection: Connection, listing: Listing) -> ListedPage:
    """Return a page. In one of the latest entries, later pages hold earlier entries.

    Raises:
        ChunkCorruptError: The page would begin with what is damaged. A page that would reach it
            ends before it.
    """
    head = latest_sequence(connection, listing.run_id)
    through = min(listing.through or head, head)
    page = ListedPage(head)
    if listing.last:
        start = listing.start or PageStart(through + 1, listing.after, listing.last)
        _fill_backward(connection, listing, start, page)
        page.contents.reverse()
    else:
        start = listing.start or PageStart(listing.after, through)
        _fill_forward(connection, listing, start, page)
    return page


def choose(part: Part, wanted: EntryFilter, limits: Wanted) -> Selection:
    """Return what is wanted of a part, without parsing it where that can be known before."""
    count = part.last - part.first + 1
    if wanted:
        if not wanted.may_want_of(part.content):
            return Selection()
    elif (
        limits.after < part.first
        and part.last <= limits.through
        and (limits.limit is None or count <= limits.limit)
    ):
        return Selection(part.content, count, part.first, part.last)
    return select(part.content, limits)


def _fill_forward(
    connection: Connection, listing: Listing, start: PageStart, page: ListedPage
) -> None:
    position, through, wanted = start.position, start.bound, listing.wanted
    tests = wanted.tests
    try:
        for part in parts_after(connection, listing.run_id, position, through, wanted):
            left = listing.page_size - page.count
            selection = page.scan(part, wanted, Wanted(position, through, tests, left))
            position = selection.last if selection.count == left else min(part.last, through)
            if selection.count == left or page.is_full:
                break
        else:
            position = through
    except ChunkCorruptError:
        if position == start.position:
            raise
    if position < through:
        page.next_start = PageStart(position, through)


def _fill_backward(
    connection: Connection, listing: Listing, start: PageStart, page: ListedPage
) -> None:
    before, after, wanted, left = start.position, start.bound, listing.wanted, start.wanted
    tests = wanted.tests
    try:
        for part in parts_before(connection, listing.run_id, before, after, wanted):
            limits = Wanted(after, before - 1, tests, left, from_end=True)
            left -= page.scan(part, wanted, limits).count
            before = part.first
            if not left or page.is_full:
                break
        else:
            left = 0
    except ChunkCorruptError:
        if before == start.position:
            raise
    if left and before > after + 1:
        page.next_start = PageStart(before, after, left)
