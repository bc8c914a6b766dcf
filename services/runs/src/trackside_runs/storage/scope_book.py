"""The scopes of one run within a transaction: the newest, and those that are asked for."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, Select, bindparam, select

from trackside_journal.dialects import upsert
from trackside_protos.runs.v1 import scope_pb2
from trackside_runs.record import RunRecord
from trackside_runs.storage import rows, tables
from trackside_runs.storage.run_store import IDS_A_QUERY

NEWEST: Final = 256
"""How many scopes are shown of a run, and counted for its progress."""


@dataclass(slots=True)
class ScopeEntry:
    """A scope and the encoded memory of its items' durations."""

    scope: scope_pb2.Scope
    items: bytes = b""
    ordinal: int = 0


class ScopeBook:
    """Reads at most the newest scopes and those reported on, so a run may have any number."""

    def __init__(self, connection: Connection, record: RunRecord) -> None:
        self._connection = connection
        self._record = record
        self._scopes: dict[str, ScopeEntry | None] = {}
        self._changed: dict[str, ScopeEntry] = {}
        self._has_newest = False

    def fetch(self, paths: Iterable[str]) -> None:
        """Read scopes that will be asked for."""
        self._read_newest()
        missing = [path for path in dict.fromkeys(paths) if path not in self._scopes]
        self._scopes.update(dict.fromkeys(missing))
        if not missing or self._record.facts.scope_count <= NEWEST:
            return
        for start in range(0, len(missing), IDS_A_QUERY):
            self._read(_NAMED, paths=missing[start : start + IDS_A_QUERY])

    def find(self, path: str) -> ScopeEntry | None:
        """Return a scope, if it exists."""
        if path not in self._scopes:
            self.fetch([path])
        return self._scopes[path]

    def put(self, entry: ScopeEntry) -> None:
        """Enter a scope as it is now; a new one gets its number."""
        if not entry.ordinal:
            self._record.facts.scope_count += 1
            entry.ordinal = self._record.facts.scope_count
        path = entry.scope.path
        self._scopes[path] = self._changed[path] = entry

    def newest(self) -> list[ScopeEntry]:
        """Return the newest scopes, in order of first appearance."""
        self._read_newest()
        first = self._record.facts.scope_count - NEWEST
        entries = [e for e in self._scopes.values() if e is not None and e.ordinal > first]
        return sorted(entries, key=lambda entry: entry.ordinal)

    def changed_rows(self) -> list[dict[str, Any]]:
        """Return what is to be written."""
        run_id = self._record.run_id
        return [
            rows.scope_row(run_id, entry.scope, entry.items, entry.ordinal)
            for entry in self._changed.values()
        ]

    def _read_newest(self) -> None:
        if not self._has_newest:
            self._has_newest = True
            if self._record.facts.scope_count:
                self._read(_LATER, first=self._record.facts.scope_count - NEWEST)

    def _read(self, statement: Select[Any, Any, Any, Any], **parameters: object) -> None:
        found = self._connection.execute(statement, {"run_id": self._record.run_id, **parameters})
        for row in found:
            path: str = row[0]
            if self._scopes.get(path) is None:
                self._scopes[path] = ScopeEntry(scope_pb2.Scope.FromString(row[1]), row[2], row[3])


def write(connection: Connection, books: Iterable[ScopeBook]) -> None:
    """Write what has changed in the books of several runs, together."""
    values = [row for book in books for row in book.changed_rows()]
    if values:
        connection.execute(upsert(connection, tables.SCOPE), values)


_TABLE: Final = tables.SCOPE.c
# Built once: to build a statement costs more than to execute it.
_SCOPES: Final = select(_TABLE.path, _TABLE.message, _TABLE["items"], _TABLE.ordinal).where(
    _TABLE.run_id == bindparam("run_id")
)
_LATER: Final = _SCOPES.where(_TABLE.ordinal > bindparam("first"))
_NAMED: Final = _SCOPES.where(_TABLE.path.in_(bindparam("paths", expanding=True)))
