"""What `FIELD COMPARATOR VALUE` asks, decided by the kind of the field."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Final, cast

from trackside_runs.filtering.errors import FilterError
from trackside_runs.filtering.schema import KEYED, Field, Kind, Schema
from trackside_runs.filtering.times import parse_duration, parse_time
from trackside_runs.filtering.tokens import Token
from trackside_runs.filtering.tree import (
    And,
    Check,
    Compares,
    Contains,
    FieldTest,
    FreeText,
    Matches,
    Node,
    Not,
    Operator,
    PassesAny,
    Present,
    Value,
    lower_ascii,
)

_NUMBER: Final = re.compile(r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?", re.ASCII)
_ORDERS: Final = frozenset({"<", "<=", ">", ">="})
_ECHO: Final = 64


@dataclass(frozen=True, slots=True)
class Restriction:
    """A comparison as it was written."""

    field: Field
    key: str
    comparator: str
    value: Token
    now_ms: int

    def test(self, check: Check) -> FieldTest:
        """Return the question whether the field passes a check."""
        return FieldTest(self.field.name, self.key, check)

    def compared(self, value: Value) -> Node:
        """Return the comparison with a value; an absent one differs from nothing."""
        if self.comparator == "!=":
            return And((self.test(Present()), Not(self.test(Compares("=", value)))))
        operator = "=" if self.comparator == ":" else self.comparator
        return self.test(Compares(cast("Operator", operator), value))

    def refused(self, wanted: str) -> FilterError:
        """Return the error that says what should stand where the value is."""
        shown = self.value.text[:_ECHO]
        return FilterError(f"{self.field.name}: {wanted}, not {shown!r}.", self.value.position)


def restrict(schema: Schema, name: Token, comparator: Token, value: Token, now_ms: int) -> Node:
    """Return the question that a comparison asks.

    Raises:
        FilterError: There is no such field, or the value is not of its kind.
    """
    field, key = _member(schema, name)
    if field.kind in KEYED and not key:
        if comparator.text != ":" or len(value.parts) > 1:
            message = f"Name the {field.name}, for example {field.name}.KEY = VALUE."
            raise FilterError(message, name.position)
        return FieldTest(field.name, value.text, Present())
    restriction = Restriction(field, key, comparator.text, value, now_ms)
    if comparator.text in _ORDERS and field.kind in (Kind.WORDS, Kind.CHOICE, Kind.CHOICES):
        message = f"{field.name} has no order; use =, != or :."
        raise FilterError(message, comparator.position)
    if comparator.text not in _ORDERS and len(value.parts) > 1 and not any(value.parts):
        present = restriction.test(Present())
        return Not(present) if comparator.text == "!=" else present
    return _BY_KIND[field.kind](restriction)


def search(word: Token) -> Node:
    """Return the question that a bare word asks.

    Raises:
        FilterError: There is nothing to look for.
    """
    wanted = [FreeText(part.casefold()) for part in word.parts if part]
    if not wanted:
        raise FilterError("There is nothing to look for.", word.position)
    return wanted[0] if len(wanted) == 1 else And(tuple(wanted))


def _member(schema: Schema, name: Token) -> tuple[Field, str]:
    if len(name.parts) > 1:
        raise FilterError("A wildcard stands in a value, not in a name.", name.position)
    has_key = name.dot is not None
    word = name.text[: name.dot] if has_key else name.text
    field = schema.fields.get(word)
    if field is None:
        near = get_close_matches(word[:_ECHO], schema.fields, 1)
        hint = f"did you mean {near[0]}" if near else "there are " + ", ".join(schema.fields)
        raise FilterError(f"There is no field {word[:_ECHO]!r}; {hint}.", name.position)
    if not has_key:
        return field, ""
    if field.kind not in KEYED or name.dot == len(name.text) - 1:
        raise FilterError(f"{word} is not followed by a key here.", name.position)
    return field, name.text[name.dot + 1 :] if name.dot is not None else ""


def _text(asked: Restriction) -> Node:
    parts = asked.value.parts
    if not asked.value.text and (asked.field.kind is Kind.TEXT or asked.comparator == ":"):
        name = asked.field.name
        message = f"Give a text; {name}:* finds what has a {name}, NOT {name}:* what has none."
        raise FilterError(message, asked.value.position)
    if asked.comparator == ":":
        wanted = [asked.test(Contains(lower_ascii(part))) for part in parts if part]
        return wanted[0] if len(wanted) == 1 else And(tuple(wanted))
    if asked.comparator in _ORDERS:
        return asked.compared(asked.value.text)
    matches = asked.test(Matches(parts))
    return And((asked.test(Present()), Not(matches))) if asked.comparator == "!=" else matches


def _number(asked: Restriction) -> Node:
    if asked.value.is_quoted or not _NUMBER.fullmatch(asked.value.text):
        raise asked.refused("a number is wanted")
    return asked.compared(float(asked.value.text))


def _time(asked: Restriction) -> Node:
    moment = parse_time(asked.value.text, now_ms=asked.now_ms)
    if moment is None:
        wanted = "a time is wanted, like 2026-03-01T12:00:00Z, 2026-03-01, or -2h for two hours ago"
        raise asked.refused(wanted)
    return asked.compared(moment)


def _duration(asked: Restriction) -> Node:
    milliseconds = parse_duration(asked.value.text)
    if milliseconds is None:
        raise asked.refused("a time span is wanted, like 90 for seconds, 1m30s, or 250ms")
    return asked.compared(milliseconds)


def _choice(asked: Restriction) -> Node:
    choices = asked.field.choices
    number = choices.get(asked.value.text.upper())
    if number is None:
        raise asked.refused("one of " + ", ".join(choices) + " is wanted")
    if asked.field.kind is Kind.CHOICES and asked.comparator == "!=":
        return Not(asked.test(Compares("=", number)))
    return asked.compared(number)


def _word(asked: Restriction) -> Node:
    if not asked.value.text:
        raise asked.refused("a word is wanted")
    matches = asked.test(Matches(asked.value.parts))
    return Not(matches) if asked.comparator == "!=" else matches


def _value(asked: Restriction) -> Node:
    if asked.value.is_quoted or not _NUMBER.fullmatch(asked.value.text):
        is_word = asked.value.text in ("true", "false")
        return _text(_as_equal(asked) if is_word else asked)
    number = float(asked.value.text)
    if asked.comparator in _ORDERS:
        return asked.compared(number)
    # A number may have been given as a text, for example on a command line.
    equal = asked.test(PassesAny((Compares("=", number), Matches(asked.value.parts))))
    return And((asked.test(Present()), Not(equal))) if asked.comparator == "!=" else equal


def _as_equal(asked: Restriction) -> Restriction:
    comparator = "=" if asked.comparator == ":" else asked.comparator
    return Restriction(asked.field, asked.key, comparator, asked.value, asked.now_ms)


_BY_KIND: Final[Mapping[Kind, Callable[[Restriction], Node]]] = {
    Kind.TEXT: _text,
    Kind.NUMBER: _number,
    Kind.TIME: _time,
    Kind.DURATION: _duration,
    Kind.CHOICE: _choice,
    Kind.WORDS: _word,
    Kind.CHOICES: _choice,
    Kind.KEYED_TEXT: _text,
    Kind.KEYED_VALUE: _value,
    Kind.KEYED_NUMBER: _number,
}
