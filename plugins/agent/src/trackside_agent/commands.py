"""Puts parameters into the command of a run."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Final

from google.protobuf.struct_pb2 import Value

from trackside_plugin_interface import JsonValue

_PLACE: Final = re.compile(r"\{([^{}]*)\}")
_EXACT_INTEGERS: Final = 2**53


def fill(command: Sequence[str], parameters: Mapping[str, JsonValue]) -> list[str]:
    """Return the command with `{key}` replaced by the parameter of that name.

    Braces around anything else stay, so that `awk '{print $1}'` needs no care, and what a
    parameter says is not looked through again.
    """
    return [_PLACE.sub(lambda match: _filled(match, parameters), argument) for argument in command]


def json_of(value: Value) -> JsonValue:
    """Return what a value of the wire says; whole numbers as integers."""
    kind = value.WhichOneof("kind")
    if kind == "number_value":
        number = value.number_value
        return int(number) if number.is_integer() and abs(number) < _EXACT_INTEGERS else number
    if kind == "struct_value":
        return {key: json_of(field) for key, field in value.struct_value.fields.items()}
    if kind == "list_value":
        return [json_of(element) for element in value.list_value.values]
    return {"string_value": value.string_value, "bool_value": value.bool_value}.get(kind or "")


def _filled(match: re.Match[str], parameters: Mapping[str, JsonValue]) -> str:
    if match[1] not in parameters:
        return match[0]
    value = parameters[match[1]]
    if isinstance(value, str):
        return value
    # On the wire keys have no order: one run's command is to be the same each time.
    return json.dumps(value, ensure_ascii=False, sort_keys=True)
