"""Files of environment variables, one `KEY=VALUE` a line."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import click

_LARGEST: Final = 2 * 1024 * 1024
_COMMENT: Final = "#"


class EnvironmentFileError(ValueError):
    """A file cannot be read as environment variables; says which one, where and why."""

    def __init__(self, path: str, why: str, *, line: int = 0) -> None:
        place = f", line {line}" if line else ""
        super().__init__(f"environment file {path}{place}: {why}")


def read_environment_file(path: str) -> dict[str, str]:
    """Return the variables of a file; the last one of a key counts.

    Values are taken as they stand, quotes and blanks too. Empty lines, and lines that begin
    with `#`, say nothing.

    Raises:
        EnvironmentFileError: It cannot be read, or a line is not `KEY=VALUE`.
    """
    variables: dict[str, str] = {}
    for number, line in enumerate(_text(path).splitlines(), start=1):
        if not line.strip() or line.lstrip().startswith(_COMMENT):
            continue
        key, separator, value = line.partition("=")
        if why := _fault(key, separator, value):
            raise EnvironmentFileError(path, why, line=number)
        variables[key] = value
    return variables


def variables_of(paths: Sequence[str]) -> dict[str, str]:
    """Return what files of variables say, the last one of a key counting.

    Raises:
        UsageError: One cannot be read.
    """
    try:
        return {key: text for path in paths for key, text in read_environment_file(path).items()}
    except EnvironmentFileError as error:
        raise click.UsageError(str(error)) from error


def _text(path: str) -> str:
    try:
        with Path(path).open("rb") as file:
            raw = file.read(_LARGEST + 1)
    except OSError as error:
        raise EnvironmentFileError(path, (error.strerror or str(error)).lower()) from error
    except ValueError as error:  # a NUL in the path
        raise EnvironmentFileError(path, str(error)) from error
    if len(raw) > _LARGEST:
        raise EnvironmentFileError(path, "it is larger than 2 MiB")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise EnvironmentFileError(path, "it is not UTF-8", line=line) from error


def _fault(key: str, separator: str, value: str) -> str:
    """Return what is wrong with a line, without its value, which may be a secret."""
    if not separator:
        return "there is no `=`; a line is KEY=VALUE"
    if not key:
        return "there is no key before the `=`"
    if key.split() != [key]:
        return f"the key {key!r} has blanks in or around it"
    return "there is a NUL in it" if "\0" in key + value else ""
