"""The typed tree of a filter: what remains to be asked of an item once names are resolved."""

from dataclasses import dataclass
from typing import Literal

Operator = Literal["=", "<", "<=", ">", ">="]
Value = str | int | float


@dataclass(frozen=True, slots=True)
class Present:
    """Whether there is a value."""


@dataclass(frozen=True, slots=True)
class Matches:
    """Whether a text consists of these parts with anything between them; one part: equals it."""

    parts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Contains:
    """Whether a text contains this one; ASCII letters count alike in both cases."""

    text: str
    """Lower-case where it is ASCII."""


@dataclass(frozen=True, slots=True)
class Compares:
    """Whether a value stands so to this one: numbers with numbers, texts by code points."""

    operator: Operator
    value: Value


@dataclass(frozen=True, slots=True)
class PassesAny:
    """Whether a value passes any of these checks."""

    checks: "tuple[Matches | Contains | Compares, ...]"


Check = Present | Matches | Contains | Compares | PassesAny


@dataclass(frozen=True, slots=True)
class FieldTest:
    """Whether any value of a field passes a check; false when there is none."""

    field: str
    key: str
    """Which entry of a keyed field, for example the label's name; else empty."""
    check: Check


@dataclass(frozen=True, slots=True)
class FreeText:
    """Whether the text that people search in contains this one, casefolded."""

    text: str


@dataclass(frozen=True, slots=True)
class And:
    """Whether all hold; true when there are none."""

    children: "tuple[Node, ...]"


@dataclass(frozen=True, slots=True)
class Or:
    """Whether any holds."""

    children: "tuple[Node, ...]"


@dataclass(frozen=True, slots=True)
class Not:
    """Whether the child does not hold."""

    child: "Node"


Node = And | Or | Not | FieldTest | FreeText


def lower_ascii(text: str) -> str:
    """Return the text with its ASCII letters in lower case, as databases do it."""
    return text.encode().lower().decode()
