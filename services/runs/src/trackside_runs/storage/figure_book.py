"""The figures of runs' series within a transaction: only the rows that have changed are written."""

from typing import Any

from sqlalchemy import Connection

from trackside_runs.record import RunRecord
from trackside_runs.storage import tables
from trackside_runs.storage.bulk import delete_many, insert_many
from trackside_runs.storage.run_rows import FIGURE_COLUMNS, figure_rows

_KEYS = FIGURE_COLUMNS[:3]


class FigureBook:
    """Knows the rows of runs as they are stored, from before their messages are changed."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._stored: dict[str, tuple[RunRecord, set[tuple[Any, ...]]]] = {}

    def open(self, record: RunRecord) -> None:
        """Note that the figures in a run's message are about to change."""
        self._stored.setdefault(record.run_id, (record, set(figure_rows(record.message))))

    def forget(self, run_id: str) -> None:
        """Leave out a run that is removed."""
        self._stored.pop(run_id, None)

    def write(self) -> None:
        """Write what has changed."""
        old: list[tuple[Any, ...]] = []
        new: list[tuple[Any, ...]] = []
        for record, stored in self._stored.values():
            wanted = set(figure_rows(record.message))
            old += [row[: len(_KEYS)] for row in stored - wanted]
            new += wanted - stored
        delete_many(self._connection, tables.RUN_FIGURE, _KEYS, old)
        insert_many(self._connection, tables.RUN_FIGURE, FIGURE_COLUMNS, new)
