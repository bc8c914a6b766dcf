"""Values of Python as the values and texts of messages."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

from google.protobuf.struct_pb2 import NULL_VALUE, Struct, Value

_DEEPEST: Final = 24
_LARGEST_EXACT: Final = 1 << 53
_LARGEST: Final = (1 << 63) - 1
_CONTEXT_KEYS: Final = 32
_LONGEST_KEY: Final = 128
_LONGEST_TEXT: Final = 1_000


def value_of(thing: object, depth: int = 0) -> Value:
    """Return a value as a protobuf value; what has no counterpart becomes its text."""
    if thing is None or isinstance(thing, bool | str | int | float):
        return _scalar(thing)
    if depth < _DEEPEST and isinstance(thing, Mapping | list | tuple | set | frozenset):
        return _compound(cast("Mapping[object, object] | Sequence[object]", thing), depth)
    return _other(thing, depth)


def struct_of(mapping: Mapping[Any, Any], depth: int = 0) -> Struct:
    """Return a mapping as a protobuf struct."""
    struct = Struct()
    for key, thing in mapping.items():
        struct.fields[printable(str(key))].CopyFrom(value_of(thing, depth + 1))
    return struct


def texts_of(mapping: Mapping[Any, Any] | None) -> dict[str, str]:
    """Return a mapping as context: at most 32 keys, everything as text."""
    if not mapping:
        return {}
    pairs = list(mapping.items())[:_CONTEXT_KEYS]
    texts = {
        one_line(str(key), _LONGEST_KEY): sentence(str(value), _LONGEST_TEXT)
        for key, value in pairs
    }
    texts.pop("", None)
    return texts


def printable(text: str) -> str:
    """Return the text as something that UTF-8 can carry."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode(errors="replace").decode()
    return text


def one_line(text: str, longest: int = 256) -> str:
    """Return the text as a name may be: no control characters in it, and not too long."""
    text = printable(text)
    if not text.isprintable():
        text = "".join(c if c.isprintable() else "_" for c in text)
    return text[:longest]


def sentence(text: str, longest: int = 1_024) -> str:
    """Return the text as something said for people may be: no NUL in it, and not too long."""
    return printable(text[:longest]).replace("\0", "\N{REPLACEMENT CHARACTER}")


def whole(thing: object, otherwise: int) -> int:
    """Return a number of any kind as a count, as near as a message can hold it."""
    try:
        return min(max(0, int(cast("int", thing))), _LARGEST)
    except (TypeError, ValueError, OverflowError):
        return otherwise


def _scalar(thing: str | float | None) -> Value:
    if thing is None:
        return Value(null_value=NULL_VALUE)
    if isinstance(thing, bool):
        return Value(bool_value=thing)
    if isinstance(thing, str):
        return Value(string_value=printable(thing))
    return _number(thing)


def _number(number: float) -> Value:
    exact = isinstance(number, float) or abs(number) <= _LARGEST_EXACT
    if exact and not (isinstance(number, float) and not math.isfinite(number)):
        return Value(number_value=number)
    return Value(string_value=str(number))  # JSON, in which this may be shown, has no such number


def _compound(thing: "Mapping[object, object] | Sequence[object]", depth: int) -> Value:
    if isinstance(thing, Mapping):
        return Value(struct_value=struct_of(thing, depth))
    value = Value()
    value.list_value.values.extend(value_of(each, depth + 1) for each in thing)
    return value


def _other(thing: object, depth: int) -> Value:
    """Unpack numbers of numpy and the like; show everything else as text."""
    item = getattr(thing, "item", None)
    if callable(item) and getattr(thing, "ndim", None) == 0:
        return value_of(item(), _DEEPEST if depth < _DEEPEST else depth + 1)
    return Value(string_value=printable(str(thing)))
