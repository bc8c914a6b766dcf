"""Whether a folder is a copy of another one that is still where it was.

What a copy holds is not its own: whoever writes the original may be alive, and goes on with it.
"""

import json
import os
from pathlib import Path


def facts_of(folder: Path) -> bytes:
    """Return what is to be noted in a folder, by which its copies are known.

    Raises:
        OSError: It is not there.
    """
    device, inode = _numbers(str(folder))
    facts = {"path": str(folder.absolute()), "device": device, "inode": inode}
    return json.dumps(facts).encode()


def original_of(folder: Path, noted: Path) -> Path | None:
    """Return the folder of which this is a copy, if that is still there.

    Args:
        folder: The folder.
        noted: The file in it with the facts of the folder in which they were noted.
    """
    try:
        facts = json.loads(noted.read_bytes())
        path, numbers = str(facts["path"]), (facts["device"], facts["inode"])
        is_copy = _numbers(str(folder)) != numbers == _numbers(path)
    except (OSError, ValueError, KeyError, TypeError):
        return None  # nothing is noted, or it was moved, or is on another machine now
    return Path(path) if is_copy else None


def _numbers(path: str) -> tuple[int, int]:
    facts = os.stat(path)  # noqa: PTH116 - what was noted may be no path at all
    return facts.st_dev, facts.st_ino
