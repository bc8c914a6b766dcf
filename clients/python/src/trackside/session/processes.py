"""The processes that this one has started, and their end."""

import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Final

_LONGEST_SECONDS: Final = 5.0
_PAUSE_SECONDS: Final = 0.01


def kill_children() -> bool:
    """Kill all descendants of this process, those too that are born meanwhile.

    Says whether none is left: one that waits for a device may outlast every signal.
    """
    end = time.monotonic() + _LONGEST_SECONDS
    while living := descendants(os.getpid()):
        for process_id in living:
            with contextlib.suppress(OSError):
                os.kill(process_id, signal.SIGKILL)
        if time.monotonic() > end:
            return False
        time.sleep(_PAUSE_SECONDS)
    return True


def descendants(root: int) -> list[int]:
    """Return the ids of all living processes below this one."""
    parents = _parents()
    found: list[int] = []
    generation = {root}
    while generation:
        generation = {child for child, parent in parents.items() if parent in generation}
        found += generation
    return found


def _parents() -> dict[int, int]:
    if Path("/proc/self/stat").exists():
        return _parents_of_proc()
    listing = subprocess.run(
        ["/bin/ps", "-A", "-o", "pid=,ppid=,stat="], capture_output=True, text=True, check=False
    ).stdout
    rows = (line.split() for line in listing.splitlines())
    return {int(row[0]): int(row[1]) for row in rows if not row[2].startswith("Z")}


def _parents_of_proc() -> dict[int, int]:
    parents: dict[int, int] = {}
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            with contextlib.suppress(OSError, ValueError, IndexError):
                facts = Path(entry.path, "stat").read_bytes().rpartition(b")")[2].split()
                if facts[0] != b"Z":
                    parents[int(entry.name)] = int(facts[1])
    return parents
