"""What the bus carries: news that a topic has gone from one position to another."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Notice:
    """Says that a topic has gone from one position to another."""

    topic: str
    previous: int
    """The position before."""
    last: int
    """The position after."""
    payload: bytes | None
    """The encoded responses of the entries between them; None: read them from the store."""
