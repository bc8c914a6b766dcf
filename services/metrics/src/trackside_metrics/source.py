"""What a watch reads from the store, and how its filter passes over what the bus brings."""

import contextlib
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection

from trackside_journal.cursor import CursorMint
from trackside_journal.database import Database
from trackside_journal.directory import RunDirectory
from trackside_journal.errors import ChunkCorruptError
from trackside_journal.pieces import Piece
from trackside_journal.splice import Page
from trackside_metrics.blocks import envelop, find_layout, split
from trackside_metrics.history import History
from trackside_metrics.identities import Identities
from trackside_metrics.selection import Selection
from trackside_serving.identity import Caller

_SMALL: Final = 16 << 10
"""What is filtered at once; more is filtered in a reader's thread."""

_REMEMBERED_PREFIXES: Final = 1000


class Sifted(bytes):
    """A content that the watch's filter has passed over already."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Reading:
    """What the watches of all runs have in common."""

    database: Database
    directory: RunDirectory
    mint: CursorMint
    history: History
    identities: Identities


class MetricsSource:
    """The blocks of one run, for one watcher."""

    def __init__(
        self, reading: Reading, run_id: str, *, caller: Caller, selection: Selection
    ) -> None:
        self._reading = reading
        self._run_id = run_id
        self._caller = caller
        self._selection = selection
        self._wanted_prefixes: dict[bytes, bool] = {}

    async def check_rights(self) -> bool:
        """Return whether the run is sealed.

        Raises:
            RunNotFoundError: There is no such run, or the caller may not see it any more.
        """
        return (await self._reading.directory.find_for(self._caller, self._run_id)).sealed

    async def read(self, after: int) -> Page:
        """Return the blocks after a sequence, as `splice` wants them.

        Raises:
            RunNotFoundError: The caller may not see the run any more.
            ChunkCorruptError: What comes next is damaged; its metadata has the `next_cursor`.
        """
        # Asked before the head is read: once sealed, only what is late can still come.
        is_sealed = await self.check_rights()
        try:
            page = await self._reading.database.read(
                lambda connection: self._page(connection, after)
            )
        except ChunkCorruptError as error:
            behind = int(error.metadata["last_sequence"])
            error.metadata["next_cursor"] = self._reading.mint.encode(self._run_id, behind)
            raise
        return Page(page.payload, page.last, page.head, is_sealed)

    async def sift(self, pieces: AsyncGenerator[Piece]) -> AsyncGenerator[Piece]:
        """Yield the pieces with what the filter leaves of them."""
        async with contextlib.aclosing(pieces):
            async for piece in pieces:
                payload = piece.payload
                if not payload or not self._selection or isinstance(payload, Sifted):
                    yield piece
                else:
                    left = await self._sift_aside(payload)
                    yield Piece(left, piece.position, piece.caught_up)

    def _page(self, connection: Connection, after: int) -> Page:
        page = self._reading.history.page(connection, self._run_id, after)
        if not self._selection:
            return page
        return Page(Sifted(self._sift(page.payload)), page.last, page.head)

    async def _sift_aside(self, payload: bytes) -> bytes:
        if len(payload) <= _SMALL:
            return self._sift(payload)
        return await self._reading.database.read(lambda _: self._sift(payload))

    def _sift(self, payload: bytes) -> bytes:
        return b"".join(envelop(block) for block in split(payload) if self._is_wanted(block))

    def _is_wanted(self, block: bytes) -> bool:
        layout = find_layout(block)
        assert layout is not None, "what is stored is canonical"
        prefix = block[: layout.prefix]
        wanted = self._wanted_prefixes.get(prefix)
        if wanted is None:
            if len(self._wanted_prefixes) >= _REMEMBERED_PREFIXES:
                self._wanted_prefixes.clear()
            identity = self._reading.identities.of(prefix)
            wanted = identity is not None and self._selection.wants(identity)
            self._wanted_prefixes[prefix] = wanted
        return wanted
