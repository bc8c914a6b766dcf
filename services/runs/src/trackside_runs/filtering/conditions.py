"""From a filter's tree to a condition of the database; agrees with `predicates`.

Everything that comes from the filter is a bound parameter. A comparison with NULL is pinned
to false before it is negated, so that SQL's third truth value never shows.
"""

import operator
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, cast

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Double,
    Integer,
    Text,
    UnaryExpression,
    and_,
    false,
    func,
    literal,
    not_,
    or_,
    select,
    true,
)
from sqlalchemy.sql import operators
from typing_extensions import override

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
)

Dialect = Literal["sqlite", "postgresql"]
Column = ColumnElement[Any]
Condition = ColumnElement[bool]


class Source(ABC):
    """Where the values of one field are stored."""

    @abstractmethod
    def passes(self, key: str, check: Check, dialect: Dialect) -> Condition:
        """Return whether any value passes a check; never NULL, save for absent numbers."""


@dataclass(frozen=True, slots=True)
class ScalarColumn(Source):
    """A column of the list's own table."""

    column: Column
    absent: str | int | None = None
    """What stands for an absent value; None: NULL does, if anything."""

    @override
    def passes(self, key: str, check: Check, dialect: Dialect) -> Condition:
        if isinstance(check, Present):
            return self._present()
        condition = _passes(self.column, check, dialect)
        return and_(condition, self._present()) if self._could_be_absent(check) else condition

    def _present(self) -> Condition:
        if self.absent is None:
            return self.column.is_not(None)
        return self.column != literal(self.absent, _type_of(self.absent))

    def _could_be_absent(self, check: Check) -> bool:
        if isinstance(check, Matches):
            return not any(check.parts)
        if self.absent is None or not isinstance(check, Compares):
            return False
        if isinstance(check.value, str) is not isinstance(self.absent, str):
            return False
        return bool(_OPERATORS[check.operator](self.absent, check.value))


@dataclass(frozen=True, slots=True)
class BitsColumn(Source):
    """A column whose bits stand for the numbers of a choice."""

    column: Column

    @override
    def passes(self, key: str, check: Check, dialect: Dialect) -> Condition:
        bits = self.column
        if isinstance(check, Compares) and isinstance(check.value, int):
            bits = bits.bitwise_and(literal(1 << check.value, Integer()))
        return bits != literal(0, Integer())


@dataclass(frozen=True, slots=True)
class SideTable(Source):
    """A table with any number of rows for an item."""

    item: Column
    """The item's id in the list's own table."""
    owner: Column
    """The same in the side table."""
    text: Column
    key: Column | None = None
    number: Column | None = None
    within: Condition | None = None
    """What restricts the side table to the items that the list is of; None: it has no others."""

    @override
    def passes(self, key: str, check: Check, dialect: Dialect) -> Condition:
        rows = select(self.owner)
        if self.within is not None:
            rows = rows.where(self.within)
        if self.key is not None:
            rows = rows.where(self.key == literal(key, Text()))
        if not isinstance(check, Present):
            rows = rows.where(self._value_passes(check, dialect))
        return _unindexed(self.item, dialect).in_(rows)

    def _value_passes(self, check: Check, dialect: Dialect) -> Condition:
        if isinstance(check, PassesAny):
            return or_(*(self._value_passes(each, dialect) for each in check.checks))
        is_number = isinstance(check, Compares) and not isinstance(check.value, str)
        column = self.number if is_number and self.number is not None else self.text
        return _passes(column, check, dialect)


@dataclass(frozen=True, slots=True)
class SearchText:
    """Where the text is stored that bare words are looked for in."""

    text: Column
    owner: Column | None = None
    """The item's id, if the text is in a table of its own."""
    item: Column | None = None
    """The same in the list's own table."""


@dataclass(frozen=True, slots=True)
class Sources:
    """Where everything is stored that a filter may name."""

    fields: Mapping[str, Source]
    search: SearchText


def to_condition(tree: Node, sources: Sources, dialect: Dialect) -> Condition:
    """Return the condition that a filter's tree stands for."""
    if isinstance(tree, FieldTest):
        return sources.fields[tree.field].passes(tree.key, tree.check, dialect)
    if isinstance(tree, FreeText):
        return _found([tree], and_, sources, dialect)
    if isinstance(tree, Not):
        return not_(func.coalesce(to_condition(tree.child, sources, dialect), false()))
    join = or_ if isinstance(tree, Or) else and_
    words = [child for child in tree.children if isinstance(child, FreeText)]
    rest = [child for child in tree.children if not isinstance(child, FreeText)]
    conditions = [to_condition(child, sources, dialect) for child in rest]
    if words:  # together, so that the texts are read once
        conditions.append(_found(words, join, sources, dialect))
    return join(false() if isinstance(tree, Or) else true(), *conditions)


def _found(
    words: Sequence[FreeText],
    join: Callable[..., Condition],
    sources: Sources,
    dialect: Dialect,
) -> Condition:
    search = sources.search
    found = join(*(_contains(search.text, word.text, dialect) for word in words))
    if search.owner is None or search.item is None:
        return found
    return _unindexed(search.item, dialect).in_(select(search.owner).where(found))


_OPERATORS: Final[Mapping[str, Callable[[Any, Any], Any]]] = {
    "=": operator.eq,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def _passes(column: Column, check: Check, dialect: Dialect) -> Condition:
    if isinstance(check, Matches):
        return _matches(column, check.parts, dialect)
    if isinstance(check, Contains):
        return _contains(func.lower(column), check.text, dialect)
    if isinstance(check, Compares):
        value = literal(check.value, _type_of(check.value))
        return cast("Condition", _OPERATORS[check.operator](column, value))
    return column.is_not(None)


def _type_of(value: Value) -> Text | BigInteger | Double[float]:
    if isinstance(value, str):
        return Text()
    return Double() if isinstance(value, float) else BigInteger()


def _contains(column: Column, text: str, dialect: Dialect) -> Condition:
    position = func.instr if dialect == "sqlite" else func.strpos
    return position(column, literal(text, Text())) > literal(0, Integer())


def _matches(column: Column, parts: tuple[str, ...], dialect: Dialect) -> Condition:
    if len(parts) == 1:
        return column == literal(parts[0], Text())
    if dialect == "sqlite":  # whose LIKE knows no case
        pattern = "*".join(map(_escape_glob, parts))
        return cast("Condition", column.op("GLOB", is_comparison=True)(literal(pattern, Text())))
    return column.like(literal("%".join(map(_escape_like, parts)), Text()), escape="\\")


def _escape_glob(text: str) -> str:
    return "".join(f"[{character}]" if character in "*?[" else character for character in text)


def _escape_like(text: str) -> str:
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


def _unindexed(column: Column, dialect: Dialect) -> Column:
    # SQLite would otherwise look up every row of the subquery and sort: fast for a rare word,
    # 50 times slower for a frequent one than walking the list in order. The plus sign makes
    # it walk, which costs a few milliseconds for 100,000 runs. PostgreSQL has statistics.
    if dialect == "postgresql":
        return column
    return UnaryExpression(column, operator=operators.custom_op[str]("+"), type_=Text())
