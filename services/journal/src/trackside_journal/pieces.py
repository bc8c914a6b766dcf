"""What a watch is made of: pieces, each with the encoded entries up to a position."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Ending:
    """What follows the entries in a response, and the whole response."""

    cursor: str
    fields: bytes
    """The cursor and the caught-up mark, encoded."""
    response: bytes
    """The entries and these fields."""


@dataclass(slots=True)
class Piece:
    """A part of a watch. All watchers of a topic that are equally far share one object."""

    payload: bytes
    """The encoded responses, concatenated; empty: nothing new, a bookmark may be due."""
    position: int
    """Everything up to here has been given."""
    caught_up: bool = False
    """True once: what was stored when the watch began has been given."""
    endings: dict[object, Ending] = field(default_factory=dict, compare=False, repr=False)
    """What was made of it for the first watcher, for the others; by the kind of watch."""
