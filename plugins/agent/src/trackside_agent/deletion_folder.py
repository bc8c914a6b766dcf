"""What the agent keeps of one deletion of outputs on disk, until the server has noted its end.

order     what is to be deleted; stored before it is acknowledged
journal   what was examined, before it is deleted, and what came of it: a line each

A journal that finds the disk full is kept in memory: the deletion may be what makes room. What is
lost of it with the agent is only how much of what is gone was deleted by us.
"""

import json
import logging
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from trackside_agent import durable
from trackside_plugin_interface import Handle
from trackside_protos.runners.v1.runners_service_pb2 import DeletionOrder

ORDER: Final = "order"
JOURNAL: Final = "journal"

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one output."""

    is_deleted: bool = False
    size_bytes: int = 0
    """Of the files that were deleted."""
    kept: str = ""
    """The reason for which it was kept, as the wire names it; empty: it is gone."""
    message: str = ""
    """More on that, for people."""


class DeletionFolder:
    """The folder of one deletion."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.examined: dict[int, Handle] = {}
        """What is known of the outputs that may be deleted, by their number in the order."""
        self.outcomes: dict[int, Outcome] = {}
        """What came of the outputs, by their number in the order."""

    @property
    def request_id(self) -> str:
        """The request."""
        return self._path.name

    def store(self, order: DeletionOrder) -> None:
        """Make the folder and keep the order in it. Durable when this returns.

        Raises:
            OSError: The disk is full.
        """
        durable.make_folder(self._path)
        durable.write(self._path / ORDER, order.SerializeToString())

    def load(self) -> DeletionOrder:
        """Return the order, and take in the journal as far as it was written.

        Raises:
            FileNotFoundError: The agent died before the order was stored.
        """
        order = DeletionOrder.FromString((self._path / ORDER).read_bytes())
        journal = self._path / JOURNAL
        written = journal.read_bytes() if journal.exists() else b""
        whole = written[: written.rfind(b"\n") + 1]  # an agent may die in the middle of a line
        for line in whole.splitlines():
            self._take(json.loads(line))
        if len(whole) < len(written):
            os.truncate(journal, len(whole))
        return order

    def note_examined(self, examined: dict[int, Handle]) -> None:
        """Keep what is known of outputs. Durable when this returns, if the disk has room."""
        self.examined |= examined
        lines = ({"number": number, "examined": found} for number, found in examined.items())
        self._append(lines, sync=True)

    def note_outcome(self, number: int, outcome: Outcome) -> None:
        """Keep what came of an output."""
        self.outcomes[number] = outcome
        self._append([{"number": number, "outcome": asdict(outcome)}])

    def remove(self) -> None:
        """Forget the deletion."""
        durable.remove_folder(self._path, ORDER)

    def _take(self, line: dict[str, Any]) -> None:
        if "examined" in line:
            self.examined[line["number"]] = line["examined"]
        else:
            self.outcomes[line["number"]] = Outcome(**line["outcome"])

    def _append(self, lines: Iterable[Mapping[str, object]], *, sync: bool = False) -> None:
        text = "".join(f"{json.dumps(line)}\n" for line in lines)
        try:
            with (self._path / JOURNAL).open("ab") as file:
                file.write(text.encode())
                file.flush()
                if sync:
                    os.fsync(file.fileno())
        except OSError as error:
            logger.warning("deletion %s goes on without its journal: %s", self.request_id, error)
