"""What is in a folder in which others are at work."""

import os
from pathlib import Path


def paths_below(folder: Path) -> list[str]:
    """Return the paths of all that is below a folder, in order; what goes meanwhile is left out."""
    found: list[str] = []
    for above, folders, files in os.walk(folder):  # unlike `rglob`, bears that a folder goes
        found += [os.path.relpath(os.path.join(above, name), folder) for name in folders + files]  # noqa: PTH118 - as the walk has it
    return sorted(found)
