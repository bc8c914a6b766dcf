"""What a watch reads from the store, and how its filter passes over what the bus brings."""

import contextlib
import sys
from collections.abc import AsyncGenerator
from dataclasses import replace
from typing import Final

from sqlalchemy import Connection

from trackside_journal.cursor import CursorMint
from trackside_journal.database import Database
from trackside_journal.directory import RunDirectory
from trackside_journal.errors import ChunkCorruptError
from trackside_journal.splice import Page, Piece
from trackside_logs.blocks import CONTENT_BYTES, Part, Wanted
from trackside_logs.filters import EntryFilter
from trackside_logs.listing import SCANNED_BYTES, choose
from trackside_logs.reading import latest_sequence, parts_after
from trackside_serving.identity import Caller

_SMALL: Final = 8 << 10
"""What is filtered at once; more is filtered in a reader's thread."""


class Sifted(bytes):
    """A content that the watch's filter has passed over already."""

    __slots__ = ()


class LogSource:
    """The entries of one run, for one watcher."""

    def __init__(
        self,
        *,
        database: Database,
        directory: RunDirectory,
        mint: CursorMint,
        run_id: str,
        caller: Caller,
        wanted: EntryFilter,
    ) -> None:
        self._database = database
        self._directory = directory
        self._mint = mint
        self._run_id = run_id
        self._caller = caller
        self._wanted = wanted

    async def check_rights(self) -> bool:
        """Return whether the run is sealed.

        Raises:
            RunNotFoundError: There is no such run, or the caller may not see it any more.
        """
        return (await self._directory.find_for(self._caller, self._run_id)).sealed

    async def read(self, after: int) -> Page:
        """Return the entries after a position, as `splice` wants them.

        Raises:
            RunNotFoundError: The caller may not see the run any more.
            ChunkCorruptError: What comes next is damaged; its metadata has the `next_cursor`.
        """
        # Asked before the head is read: once sealed, only what is late can still come.
        is_sealed = await self.check_rights()
        try:
            page = await self._database.read(lambda connection: self._page(connection, after))
        except ChunkCorruptError as error:
            behind = int(error.metadata["last_sequence"])
            error.metadata["next_cursor"] = self._mint.encode(self._run_id, behind)
            raise
        return replace(page, ended=is_sealed)

    async def sift(self, pieces: AsyncGenerator[Piece]) -> AsyncGenerator[Piece]:
        """Yield the pieces with what the filter leaves of them."""
        # Without a filter the very same piece goes on, so what is encoded once stays shared.
        is_unfiltered = not self._wanted.tests
        async with contextlib.aclosing(pieces):
            async for piece in pieces:
                if is_unfiltered or not piece.payload or isinstance(piece.payload, Sifted):
                    yield piece
                else:
                    payload = await self._sift(piece.payload)
                    yield Piece(payload, piece.position, piece.caught_up)

    async def _sift(self, payload: bytes) -> bytes:
        # A notice is not cut within: it follows the watch's position.
        part, everything = Part(0, 0, payload), Wanted(0, sys.maxsize, self._wanted.tests)
        if len(payload) <= _SMALL:
            return choose(part, self._wanted, everything).content
        return await self._database.read(lambda _: choose(part, self._wanted, everything).content)

    def _page(self, connection: Connection, after: int) -> Page:
        head = latest_sequence(connection, self._run_id)
        contents: list[bytes] = []
        position, size, scanned = after, 0, 0
        tests = self._wanted.tests
        try:
            for part in parts_after(connection, self._run_id, after, head, self._wanted):
                limits = Wanted(position, head, tests)
                contents.append(choose(part, self._wanted, limits).content)
                position = min(part.last, head)
                size += len(contents[-1])
                scanned += len(part.content)
                if size >= CONTENT_BYTES or scanned >= SCANNED_BYTES:
                    break
            else:
                position = max(after, head)
        except ChunkCorruptError:
            if position == after:
                raise
        payload = b"".join(contents)
        return Page(Sifted(payload) if self._wanted else payload, position, head)
