"""Puts the keys of maps in order: protobuf leaves it to chance, anew in each process."""

from functools import cache
from typing import Any, Final, cast

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

_OBJECTS: Final = frozenset(f"google.protobuf.{name}" for name in ("Struct", "Value", "ListValue"))
"""What is JSON itself, and has keys of its own at any depth."""


def order_maps(document: dict[str, Any], message: Message) -> dict[str, Any]:
    """Order the maps of a message that is given as proto3-JSON, in place, and return it."""
    return _order(document, cast("Descriptor", message.DESCRIPTOR))


def _order(document: dict[str, Any], kind: Descriptor) -> dict[str, Any]:
    for field in _fields_with_maps(kind):
        value = document.get(field.json_name)
        if value:
            document[field.json_name] = _ordered(value, field)
    return document


def _ordered(value: Any, field: FieldDescriptor) -> Any:  # noqa: ANN401 - as JSON has it
    kind = field.message_type
    if kind is not None and _is_map(kind):
        inner = kind.fields_by_name["value"]
        return {key: _one(value[key], inner.message_type) for key in sorted(value)}
    if field.is_repeated:
        return [_one(each, kind) for each in value]
    return _one(value, kind)


def _one(value: Any, kind: Descriptor | None) -> Any:  # noqa: ANN401 - as JSON has it
    if kind is None:
        return value
    if kind.full_name in _OBJECTS:
        return _ordered_object(value)
    return _order(value, kind)


def _ordered_object(value: object) -> object:
    if isinstance(value, dict):
        members = cast("dict[str, object]", value)
        return {key: _ordered_object(members[key]) for key in sorted(members)}
    if isinstance(value, list):
        return [_ordered_object(each) for each in cast("list[object]", value)]
    return value


@cache
def _fields_with_maps(kind: Descriptor) -> tuple[FieldDescriptor, ...]:
    return tuple(field for field in kind.fields if _has_maps(field, frozenset()))


def _has_maps(field: FieldDescriptor, above: frozenset[str]) -> bool:
    kind = field.message_type
    if kind is None or kind.full_name in above:
        return False
    if _is_map(kind) or kind.full_name in _OBJECTS:
        return True
    return any(_has_maps(inner, above | {kind.full_name}) for inner in kind.fields)


def _is_map(kind: Descriptor) -> bool:
    return bool(kind.GetOptions().map_entry)
