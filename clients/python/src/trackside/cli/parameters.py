"""Parameters and labels as they are typed and shown: `epsilon=0.02`."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, cast

import click
from google.protobuf.json_format import MessageToDict, Parse, ParseError
from google.protobuf.struct_pb2 import Value

from trackside.cli.safe_text import harmless_cell
from trackside_protos.runs.v1.run_pb2 import Run, SweepAxis

_WHOLE_BELOW: Final = 2**53


class AssignmentError(ValueError):
    """A text is not `key=value`."""


def split_assignment(text: str) -> tuple[str, str]:
    """Return key and value of `key=value`.

    Raises:
        AssignmentError: There is no `=`, or nothing before it.
    """
    key, separator, value = text.partition("=")
    if not separator or not key.strip():
        message = f"{text!r} is not KEY=VALUE"
        raise AssignmentError(message)
    return key.strip(), value


def assignments(texts: Iterable[str]) -> dict[str, str]:
    """Return `key=value` texts as a mapping; the last one of a key counts.

    Raises:
        AssignmentError: One is not `key=value`.
    """
    return dict(split_assignment(text) for text in texts)


def value_of(text: str) -> Value:
    """Return what was typed as a number, `true`, `false` or `null` where it is one, else as text.

    What begins with `[`, `{` or a quote is read as JSON when it is some.
    """
    try:
        value = Parse(text, Value())
    except ParseError:
        return Value(string_value=text)
    # JSON has no infinities and no NaN, so that a run with one could not be shown as JSON.
    return value if math.isfinite(value.number_value) else Value(string_value=text)


def axis_of(text: str) -> SweepAxis:
    """Return one axis of a sweep from `key=a,b,c`.

    Raises:
        AssignmentError: It is not of that form.
    """
    key, values = split_assignment(text)
    return SweepAxis(key=key, values=[value_of(value) for value in values.split(",")])


def value_text(value: Value) -> str:
    """Return a value in its shortest form: `0.02`, `3`, `ridge`, `true`; keys in order."""
    match value.WhichOneof("kind"):
        case "number_value":
            return number_text(value.number_value)
        case "string_value":
            return harmless_cell(value.string_value)
        case "bool_value":
            return "true" if value.bool_value else "false"
        case "null_value" | None:
            return "null"
        case _:
            nested = _shortest(MessageToDict(value))
            return harmless_cell(json.dumps(nested, ensure_ascii=False, sort_keys=True))


def _shortest(nested: object) -> object:
    """Return what JSON holds with whole numbers without a `.0`, as they were typed."""
    match nested:
        case dict():
            return {key: _shortest(each) for key, each in cast("dict[str, object]", nested).items()}
        case list():
            return [_shortest(each) for each in cast("list[object]", nested)]
        case float() if nested.is_integer() and abs(nested) < _WHOLE_BELOW:
            return int(nested)
        case _:
            return nested


def number_text(number: float) -> str:
    """Return a number without a needless `.0`."""
    if number.is_integer() and abs(number) < _WHOLE_BELOW:
        return str(int(number))
    return repr(number)


def parameters_text(parameters: Mapping[str, Value], keys: Sequence[str] = ()) -> str:
    """Return `key=value` for each of `keys`, or for all in order of key."""
    chosen = [key for key in keys if key in parameters] or sorted(parameters)
    return " ".join(f"{harmless_cell(key)}={value_text(parameters[key])}" for key in chosen)


def labels_text(labels: Mapping[str, str]) -> str:
    """Return `key=value` for each label, in order of key."""
    return " ".join(f"{harmless_cell(key)}={harmless_cell(labels[key])}" for key in sorted(labels))


def varying_keys(parent: Run, children: Sequence[Run]) -> list[str]:
    """Return the parameters that tell children apart: the sweep's axes, or those that differ."""
    if parent.sweep.axes:
        return [axis.key for axis in parent.sweep.axes]
    seen: dict[str, set[bytes]] = {}
    for child in children:
        for key, value in child.parameters.items():
            seen.setdefault(key, set()).add(value.SerializeToString(deterministic=True))
    return sorted(key for key, values in seen.items() if len(values) > 1)


def in_grid_order(parent: Run, children: Iterable[Run]) -> list[Run]:
    """Return children by creation, those made together in the order of their sweep's grid."""
    axes = [(axis.key, [value_text(value) for value in axis.values]) for axis in parent.sweep.axes]

    def place(child: Run) -> tuple[int, int, list[int]]:
        created = child.create_time
        on_axes = [_index(values, child.parameters, key) for key, values in axes]
        return created.seconds, created.nanos, on_axes

    return sorted(children, key=place)


def _index(values: Sequence[str], parameters: Mapping[str, Value], key: str) -> int:
    text = value_text(parameters[key]) if key in parameters else ""
    return values.index(text) if text in values else len(values)


def child_label(child: Run, keys: Sequence[str]) -> str:
    """Return what tells a child from its siblings: its varying parameters, else its name."""
    if any(key in child.parameters for key in keys):
        return parameters_text(child.parameters, keys)
    return harmless_cell(child.name) or child.run_id


def context_of(texts: Iterable[str]) -> dict[str, str]:
    """Return the context that `key=value` options name.

    Raises:
        UsageError: One of them is not `key=value`, or a key has two values, which never both hold.
    """
    try:
        pairs = {split_assignment(text) for text in texts}
    except AssignmentError as error:
        raise click.UsageError(str(error)) from error
    context = dict(pairs)
    if len(context) < len(pairs):
        twice = next(key for key, value in sorted(pairs) if context[key] != value)
        message = f"nothing has two values of {twice!r}"
        raise click.UsageError(message)
    return context
