"""Makes what a program says of its run such that a server takes it, and says what did not fit.

A server refuses a run whose description breaks its rules; of a program that must not break, as much
is kept as fits.
"""

from collections.abc import Callable, MutableMapping
from typing import Final

from google.protobuf.struct_pb2 import Struct, Value

from trackside.client.sizes import size_text
from trackside.session.values import one_line, sentence
from trackside_protos.runs.v1.report_pb2 import AttributesReport
from trackside_protos.runs.v1.run_pb2 import Run

Complain = Callable[[str], None]

_MOST_PARAMETERS: Final = 1_000
_MOST_WORDS: Final = 64
_LONGEST_WORD: Final = 128
_LONGEST_LABEL: Final = 1_024
_LONGEST_NOTES: Final = 60 << 10
_LARGEST_PARAMETER: Final = 60 << 10
_LARGEST_CONFIGURATION: Final = 2 << 20


def fit(said: Run | AttributesReport, complain: Complain) -> None:
    """Make tags, labels, description and parameters fit; of a run its name and notes too."""
    tags = list(dict.fromkeys(one_line(tag, _LONGEST_WORD) for tag in said.tags))
    said.tags[:] = _some([tag for tag in tags if tag], _MOST_WORDS, "tags", complain)
    labels = {
        one_line(key, _LONGEST_WORD): one_line(value, _LONGEST_LABEL)
        for key, value in said.labels.items()
    }
    kept = _some([key for key in labels if key], _MOST_WORDS, "labels", complain)
    said.labels.clear()
    said.labels.update({key: labels[key] for key in kept})
    said.description = sentence(said.description)
    _fit_parameters(said.parameters, complain)
    if isinstance(said, Run):
        said.name = one_line(said.name)
        notes = said.notes.replace("\0", "").encode()
        said.notes = notes[:_LONGEST_NOTES].decode(errors="ignore")


def fit_configuration(configuration: Struct, complain: Complain) -> None:
    """Empty a configuration that is too large."""
    size = configuration.ByteSize()
    if size > _LARGEST_CONFIGURATION:
        configuration.Clear()
        complain(f"the configuration is too large to be kept: {size_text(size)}")


def _fit_parameters(parameters: MutableMapping[str, Value], complain: Complain) -> None:
    given = Struct()
    for key, value in parameters.items():
        if name := one_line(key):
            given.fields[name].CopyFrom(_fitting(name, value, complain))
    parameters.clear()
    for name in _some(sorted(given.fields), _MOST_PARAMETERS, "parameters", complain):
        parameters[name].CopyFrom(given.fields[name])


def _fitting(name: str, value: Value, complain: Complain) -> Value:
    size = value.ByteSize()
    if size <= _LARGEST_PARAMETER:
        return value
    complain(f"the parameter {name!r} is too large to be kept: {size_text(size)}")
    return Value(string_value=f"(too large to be kept: {size_text(size)})")


def _some(names: list[str], most: int, what: str, complain: Complain) -> list[str]:
    if len(names) > most:
        complain(f"of {len(names)} {what} only {most} are kept")
    return names[:most]
