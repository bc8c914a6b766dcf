"""From a filter's tree to a predicate over items in memory; agrees with `conditions`."""

import operator
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from trackside_runs.filtering.tree import (
    Check,
    Compares,
    Contains,
    FieldTest,
    FreeText,
    Matches,
    Node,
    Not,
    Or,
    PassesAny,
    Present,
    Value,
    lower_ascii,
)

T = TypeVar("T")
Predicate = Callable[[T], bool]
Reader = Callable[[T, str], Iterable[Value]]
"""Returns the values that an item has for a field and key; none if it is absent."""


@dataclass(frozen=True, slots=True)
class Readers(Generic[T]):
    """How the fields of one kind of item are read."""

    fields: Mapping[str, Reader[T]]
    search_text: Callable[[T], str]
    """Returns the casefolded text that bare words are looked for in."""


def to_predicate(tree: Node, readers: Readers[T]) -> Predicate[T]:
    """Return the predicate that a filter's tree stands for."""
    if isinstance(tree, FieldTest):
        return _test(tree, readers)
    if isinstance(tree, FreeText):
        return _free_text(tree.text, readers)
    if isinstance(tree, Not):
        return _not(to_predicate(tree.child, readers))
    children = [to_predicate(child, readers) for child in tree.children]
    return _any(children) if isinstance(tree, Or) else _all(children)


def _test(test: FieldTest, readers: Readers[T]) -> Predicate[T]:
    read, key, check = readers.fields[test.field], test.key, _check(test.check)
    return lambda item: any(map(check, read(item, key)))


def _free_text(text: str, readers: Readers[T]) -> Predicate[T]:
    search_text = readers.search_text
    return lambda item: text in search_text(item)


def _not(child: Predicate[T]) -> Predicate[T]:
    return lambda item: not child(item)


def _any(children: Iterable[Predicate[T]]) -> Predicate[T]:
    return lambda item: any(child(item) for child in children)


def _all(children: Iterable[Predicate[T]]) -> Predicate[T]:
    return lambda item: all(child(item) for child in children)


_OPERATORS: Final[Mapping[str, Callable[[Value, Value], bool]]] = {
    "=": operator.eq,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def _check(check: Check) -> Callable[[Value], bool]:
    if isinstance(check, Present):
        return lambda _: True
    if isinstance(check, Matches):
        parts = check.parts
        return lambda value: isinstance(value, str) and _matches(value, parts)
    if isinstance(check, Contains):
        text = check.text
        return lambda value: isinstance(value, str) and text in lower_ascii(value)
    if isinstance(check, PassesAny):
        checks = [_check(each) for each in check.checks]
        return lambda value: any(each(value) for each in checks)
    return _comparison(check)


def _comparison(check: Compares) -> Callable[[Value], bool]:
    compare, wanted = _OPERATORS[check.operator], check.value
    is_text = isinstance(wanted, str)
    return lambda value: isinstance(value, str) is is_text and compare(value, wanted)


def _matches(text: str, parts: tuple[str, ...]) -> bool:
    first, *rest = parts
    if not rest:
        return text == first
    *middle, last = rest
    if not text.startswith(first) or not text.endswith(last):
        return False
    position, end = len(first), len(text) - len(last)
    for part in middle:
        found = text.find(part, position, end)
        if found < 0:
            return False
        position = found + len(part)
    return position <= end
