"""A parameter's value as filters, names and searches see it: a text, and perhaps a number."""

import json
import math
from typing import Final

from google.protobuf.json_format import MessageToDict
from google.protobuf.struct_pb2 import Value

_EXACT: Final = 2**53


def parameter_text(value: Value) -> str:
    """Return a value as a text: `true`, `3`, `0.02`, the text itself, or JSON."""
    kind = value.WhichOneof("kind")
    if kind == "string_value":
        return value.string_value.replace("\0", "")  # PostgreSQL's texts cannot have it
    if kind == "number_value":
        return number_text(value.number_value)
    if kind == "bool_value":
        return "true" if value.bool_value else "false"
    if kind in ("struct_value", "list_value"):
        return json.dumps(_plain(value), ensure_ascii=False, sort_keys=True)
    return "null"


def parameter_number(value: Value) -> float | None:
    """Return a value as a number, if it is one."""
    if value.WhichOneof("kind") != "number_value" or math.isnan(value.number_value):
        return None
    return value.number_value


def number_text(number: float) -> str:
    """Return a number as people write it: 3 for 3.0."""
    if number.is_integer() and abs(number) < _EXACT:
        return str(int(number))
    return repr(number)


def _plain(value: Value) -> object:
    kind = value.WhichOneof("kind")
    if kind == "struct_value":
        fields = value.struct_value.fields
        return {key: _plain(fields[key]) for key in fields}
    if kind == "list_value":
        return [_plain(item) for item in value.list_value.values]
    if kind == "number_value":
        number = value.number_value
        # JSON has neither infinities nor NaN; as texts they stay readable.
        return repr(number) if not math.isfinite(number) else _whole(number)
    return MessageToDict(value)


def _whole(number: float) -> float | int:
    return int(number) if number.is_integer() and abs(number) < _EXACT else number
