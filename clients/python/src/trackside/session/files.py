"""Files and folders as outputs: what is told of one at once, before it is read."""

import errno
import mimetypes
import os
import re
from pathlib import Path
from typing import Final

from trackside.contents import can_be_read, size_of
from trackside.session.values import printable
from trackside_protos.runs.v1.output_pb2 import Output, OutputKind

KINDS: Final = {
    "data": OutputKind.OUTPUT_KIND_DATA,
    "report": OutputKind.OUTPUT_KIND_REPORT,
    "model": OutputKind.OUTPUT_KIND_MODEL,
}

_CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f]")


LONGEST_PATH: Final = 4096
"""In bytes, as servers take it; no system has files whose path is longer."""


def place_of(path: str | os.PathLike[str]) -> Path:
    """Return a path as one.

    Raises:
        TypeError: It is none.
        ValueError: It is empty, which would be taken for the whole folder.
    """
    if not os.fspath(path):
        raise ValueError("its path is empty")
    return Path(path)


def output_of(path: Path, base: Path | None) -> Output:
    """Describe a file, without its checksum. It may have vanished or never been there.

    Its location is where it really is, without a link on the way: whoever reads it later
    follows none, so that nothing can be put in its place.

    Args:
        path: The file.
        base: The folder from which it is named, if there is one.

    Raises:
        ValueError: No file can be called so.
        OSError: It cannot be found out where that is.
    """
    named = Path(os.path.normpath(path.absolute()))
    try:
        real = path.resolve()
    except RuntimeError as error:  # what Python says of links that lead in a circle
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP)) from error
    known = named.relative_to(base) if base and named.is_relative_to(base) else named
    name = _one_line(str(known))
    if len(name.encode()) > LONGEST_PATH:
        message = f"longer than {LONGEST_PATH} bytes"
        raise ValueError(message)
    output = Output(
        path=name,
        location=printable(str(real)),
        media_type=mimetypes.guess_type(path.name)[0] or "",
    )
    try:
        output.size_bytes = size_of(real)
        output.exists = can_be_read(real)
    except OSError:
        output.exists = False
    return output


def working_folder() -> Path | None:
    """Return where the program works; `None` when that folder does not exist any more."""
    try:
        return Path.cwd()
    except FileNotFoundError:
        return None


def _one_line(path: str) -> str:
    """Return a path as a name of an output: nothing in it that moves a cursor."""
    return _CONTROL.sub("_", printable(path))
