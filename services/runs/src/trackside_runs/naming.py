"""Names and commands of runs, made from their commands, parameters and grids."""

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from math import prod
from pathlib import PurePath
from typing import Final

from google.protobuf.struct_pb2 import Value

from trackside_protos.runs.v1.run_pb2 import Launch, Run, Sweep
from trackside_runs.filtering.parameters import parameter_text

MAXIMUM_NAME: Final = 256
"""How many characters a run's name may have."""

MAXIMUM_CHILDREN: Final = 10_000
"""How many children a grid may have."""

_VALUE_LENGTH: Final = 48
_ELLIPSIS: Final = "\N{HORIZONTAL ELLIPSIS}"
_INTERPRETER: Final = re.compile(
    r"(?:python|pypy|bash|sh|zsh|dash|node|ruby|perl|Rscript|julia|uv|run|exec|env|time|nice)[\d.]*"
)
# A shell's `${HOME}` is left alone, as is whatever in braces could not be a key.
_PLACEHOLDER: Final = re.compile(r"\{\{|\}\}|(?<!\$)\{([A-Za-z_][\w.-]*)\}")
_BRACES: Final = {"{{": "{", "}}": "}"}


class UnknownKeyError(Exception):
    """A command names a parameter that the run does not have."""

    def __init__(self, key: str, index: int) -> None:
        super().__init__(f"the run has no parameter {key}; write {{{{{key}}}}} for the braces")
        self.key = key
        self.index = index
        """Which word of the command."""


def default_name(run: Run) -> str:
    """Return the name of a run that was given none: what is run, or what varies."""
    if run.parent_run_id and run.parameters:
        return child_name(run.parameters)
    command = run.launch.command or run.provenance.command
    return _shortened(command_name(command) or run.workflow_name or "run", MAXIMUM_NAME)


def command_name(command: Sequence[str]) -> str:
    """Return what a command runs: the script or module behind an interpreter, or the program."""
    words = iter(command)
    for word in words:
        if word == "-m":
            return next(words, "")
        if word in ("-c", "-e"):
            break
        program = PurePath(word).name
        is_assignment = "=" in word and not word.startswith("-")
        if word.startswith("-") or is_assignment or _INTERPRETER.fullmatch(program):
            continue
        return _printable(program)
    return _printable(PurePath(command[0]).name) if command else ""


def child_name(parameters: Mapping[str, Value]) -> str:
    """Return a child's name: its parameters, for example `epsilon=0.02, depth=3`."""
    parts = [
        f"{key}={_shortened(_printable(parameter_text(parameters[key])), _VALUE_LENGTH)}"
        for key in parameters
    ]
    return _shortened(", ".join(parts), MAXIMUM_NAME)


def grid_size(sweep: Sweep) -> int:
    """Return how many children a grid has; none without axes."""
    return prod(len(axis.values) for axis in sweep.axes) if sweep.axes else 0


def expand(sweep: Sweep) -> Iterator[dict[str, Value]]:
    """Return the parameters of each child of a grid, the last axis fastest."""
    if not sweep.axes:
        return
    keys = [axis.key for axis in sweep.axes]
    for values in product(*(axis.values for axis in sweep.axes)):
        yield dict(zip(keys, values, strict=True))


def substituted(launch: Launch, parameters: Mapping[str, Value]) -> Launch:
    """Return a launch whose command has values where it has `{key}`, and `{` for `{{`.

    Without parameters a command is taken as it is, for it was not written as a template.

    Raises:
        UnknownKeyError: The command names a parameter that is not there.
    """
    filled = Launch()
    filled.CopyFrom(launch)
    if parameters:
        filled.command[:] = [
            _filled(word, index, parameters) for index, word in enumerate(launch.command)
        ]
    return filled


def _filled(word: str, index: int, parameters: Mapping[str, Value]) -> str:
    def replace(found: re.Match[str]) -> str:
        key = found[1]
        if key is None:
            return _BRACES[found[0]]
        if key not in parameters:
            raise UnknownKeyError(key, index)
        return parameter_text(parameters[key])

    return _PLACEHOLDER.sub(replace, word)


def _printable(text: str) -> str:
    return "".join(character if character.isprintable() else " " for character in text)


def _shortened(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + _ELLIPSIS
