"""What the supervisors of a run have open together, from its start to its end."""

import fcntl
import os
from contextlib import suppress

from trackside_runner_local import records

PIPES = (records.STDOUT, records.STDERR, records.CONTROL, records.HELD)


class Hold:
    """The FIFOs of a run. The one that stands by has them from the beginning, as a fork does."""

    def __init__(self, folder: str) -> None:
        for name in PIPES:
            with suppress(FileExistsError):
                os.mkfifo(f"{folder}/{name}", 0o600)
        self.stdout = os.open(f"{folder}/{records.STDOUT}", os.O_RDONLY | os.O_NONBLOCK)
        self.stderr = os.open(f"{folder}/{records.STDERR}", os.O_RDONLY | os.O_NONBLOCK)
        # For writing too: the one so that it has no end, the other so that it has one with us.
        self.control = os.open(f"{folder}/{records.CONTROL}", os.O_RDWR | os.O_NONBLOCK)
        self._held = os.open(f"{folder}/{records.HELD}", os.O_RDWR | os.O_NONBLOCK)

    def is_taken(self) -> bool:
        """Take the run for us and our forks, unless others have, and return whether we have."""
        try:
            fcntl.flock(self._held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
