"""What a filter may name: fields, of which kind each is, and the choices of some."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, auto


class Kind(Enum):
    """What may be asked of a field."""

    TEXT = auto()
    """A text; empty means absent."""
    NUMBER = auto()
    TIME = auto()
    """A time in milliseconds since 1970."""
    DURATION = auto()
    """A time span in milliseconds."""
    CHOICE = auto()
    """One of named numbers."""
    WORDS = auto()
    """Several texts."""
    CHOICES = auto()
    """Several of named numbers."""
    KEYED_TEXT = auto()
    """Texts by key."""
    KEYED_VALUE = auto()
    """Texts by key, some of which are numbers too."""
    KEYED_NUMBER = auto()
    """Numbers by key, perhaps several of one."""


KEYED: frozenset[Kind] = frozenset({Kind.KEYED_TEXT, Kind.KEYED_VALUE, Kind.KEYED_NUMBER})
"""The kinds that are asked for as `field.KEY`."""


@dataclass(frozen=True, slots=True)
class Field:
    """A field that a filter may name."""

    name: str
    kind: Kind
    choices: Mapping[str, int] = field(default_factory=dict[str, int])
    """The names of a choice, in upper case."""


@dataclass(frozen=True, slots=True)
class Schema:
    """The fields of one kind of list."""

    fields: Mapping[str, Field]

    @classmethod
    def of(cls, *fields: Field) -> "Schema":
        """Return the schema of these fields."""
        return cls({field.name: field for field in fields})


TRUTHS: Mapping[str, int] = {"FALSE": 0, "TRUE": 1}
"""The choices of a field that is true or false."""
