"""Files and folders as outputs: what is told of one at once, before it is read."""

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


def output_of(path: Path, base: Path) -> Output:
    """Describe a file, without its checksum. It may have vanished or never been there.

    Its location is where it really is, without a link on the way: whoever reads it later
    follows none, so that nothing can be put in its place.
    """
    named = Path(os.path.normpath(path.absolute()))
    real = path.resolve()
    known = named.relative_to(base) if named.is_relative_to(base) else named
    output = Output(
        path=_one_line(str(known)),
        location=printable(str(real)),
        media_type=mimetypes.guess_type(path.name)[0] or "",
    )
    try:
        output.size_bytes = size_of(real)
        output.exists = can_be_read(real)
    except OSError:
        output.exists = False
    return output


def _one_line(path: str) -> str:
    """Return a path as a name of an output: nothing in it that moves a cursor."""
    return _CONTROL.sub("_", printable(path))
