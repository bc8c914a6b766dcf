"""What one transaction appends to one run: chunks for the store, and notices for the bus."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from trackside_journal.chunks import pack
from trackside_journal.heads import Head
from trackside_journal.notices import Notice
from trackside_logs.blocks import CONTENT_BYTES, Origin, encode_parts
from trackside_logs.validation import Traits

FULL_LINES: Final = 1000
FULL_BYTES: Final = 128 << 10
"""A chunk of so many entries, or so many bytes, is not merged with others."""

LINE_LIMIT: Final = 5000
"""How many entries a chunk may get by joining smaller ones."""


@dataclass(slots=True)
class Content:
    """Consecutive entries that make one chunk and one notice."""

    first: int
    last: int
    levels: int = 0
    earliest: int | None = None
    latest: int | None = None
    size: int = 0
    pieces: list[bytes] = field(default_factory=list[bytes])

    def has_room(self, size: int, lines: int) -> bool:
        """Whether so much more may be joined to it."""
        return self.size + size <= CONTENT_BYTES and self.lines + lines <= LINE_LIMIT

    @property
    def lines(self) -> int:
        """How many entries there are."""
        return self.last - self.first + 1

    @property
    def is_small(self) -> bool:
        """Whether it would better be merged with its neighbours."""
        return self.lines < FULL_LINES and self.size < FULL_BYTES

    def add(self, last: int, content: bytes) -> None:
        """Join the entries that follow."""
        self.last = last
        self.pieces.append(content)
        self.size += len(content)

    def note(self, levels: int, earliest: int | None, latest: int | None) -> None:
        """Widen what is known of the entries."""
        self.levels |= levels
        if earliest is not None and latest is not None:
            self.earliest = earliest if self.earliest is None else min(earliest, self.earliest)
            self.latest = latest if self.latest is None else max(latest, self.latest)

    def encode(self) -> bytes:
        """Return the content."""
        if len(self.pieces) > 1:
            self.pieces = [b"".join(self.pieces)]
        return self.pieces[0]

    def row(self, run_id: str, *, mergeable: bool) -> Mapping[str, Any]:
        """Return the row of the chunk, compressed."""
        chunk = pack(self.encode())
        return {
            "run_id": run_id,
            "first_sequence": self.first,
            "last_sequence": self.last,
            "earliest_second": self.earliest,
            "latest_second": self.latest,
            "levels": self.levels,
            "size": self.size,
            "mergeable": mergeable,
            "codec": chunk.codec,
            "checksum": chunk.checksum,
            "blob": chunk.blob,
        }


@dataclass(slots=True)
class Appending:
    """The entries that one transaction appends to one run."""

    head: Head
    contents: list[Content] = field(default_factory=list[Content])

    def append(self, traits: Traits, origin: Origin) -> None:
        """Append a batch."""
        for part in encode_parts(self.head.advance(traits.count), traits, origin):
            content = self.contents[-1] if self.contents else None
            if content is None or not content.has_room(
                len(part.content), part.last - part.first + 1
            ):
                content = Content(part.first, part.last)
                self.contents.append(content)
            content.add(part.last, part.content)
            content.note(traits.levels, traits.earliest, traits.latest)

    def rows(self) -> list[Mapping[str, Any]]:
        """Return the rows of the chunks."""
        run_id = self.head.run_id
        return [content.row(run_id, mergeable=content.is_small) for content in self.contents]

    @property
    def size(self) -> int:
        """How many bytes the contents have."""
        return sum(content.size for content in self.contents)

    @property
    def small_count(self) -> int:
        """How many of the chunks are small."""
        return sum(content.is_small for content in self.contents)

    def notices(self, *, with_payload: bool) -> list[Notice]:
        """Return what the bus is told; without a payload watchers read the store."""
        run_id = self.head.run_id
        if with_payload:
            return [
                Notice(run_id, content.first - 1, content.last, content.encode())
                for content in self.contents
            ]
        return [Notice(run_id, self.contents[0].first - 1, self.head.sequence, None)]
