"""Whether a folder is a copy of another one that is still where it was.

Two agents of one identity would both report the runs that they hold, each from where the copy
stood: what the one had said since would be said again.
"""

import json
import os
from pathlib import Path
from typing import Final

from trackside_agent import durable

NAME: Final = "origin"


def is_copy(folder: Path) -> bool:
    """Return whether what is noted in a folder is the place of another that is still there."""
    try:
        noted = json.loads((folder / NAME).read_bytes())
        original = (noted["path"], noted["device"], noted["inode"])
    except (OSError, ValueError, KeyError, TypeError):  # nothing is noted that could be read
        return False
    if original[1:] == _numbers(str(folder)):
        return False
    try:
        return _numbers(str(original[0])) == original[1:]
    except OSError:
        return False  # it was moved, or is on another machine now


def note(folder: Path) -> None:
    """Note where a folder is, unless that is noted already."""
    device, inode = _numbers(str(folder))
    facts = {"path": str(folder.absolute()), "device": device, "inode": inode}
    contents = json.dumps(facts).encode()
    path = folder / NAME
    if not path.exists() or path.read_bytes() != contents:
        durable.write(path, contents)


def _numbers(path: str) -> tuple[int, int]:
    facts = os.stat(path)  # noqa: PTH116 - what was noted may be no path at all
    return facts.st_dev, facts.st_ino
