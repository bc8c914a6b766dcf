"""The cursor of a merged watch: the cursors of its parts, side by side.

Format: `R` + the run's, `.L` + the log's, `.M` + the points'; a part that was left out is empty.
The parts' cursors are base64url, so the dots are ours; each service checks its own.
"""

import re
from dataclasses import dataclass
from typing import Final

from trackside_journal.errors import CursorForeignError

_FORMAT: Final = re.compile(r"R([\w-]*)\.L([\w-]*)\.M([\w-]*)", re.ASCII)


@dataclass(slots=True)
class LiveCursor:
    """Where each part has got; empty for a part that has not begun or is left out."""

    run: str = ""
    logs: str = ""
    metrics: str = ""

    def encode(self) -> str:
        """Return the cursor as clients keep it."""
        return f"R{self.run}.L{self.logs}.M{self.metrics}"


def decode(cursor: str) -> LiveCursor:
    """Return the parts of a cursor.

    Raises:
        CursorForeignError: It is none of a merged watch.
    """
    match = _FORMAT.fullmatch(cursor)
    if match is None:
        raise CursorForeignError
    return LiveCursor(*match.groups())
