"""The scopes of one run within a transaction: the newest, and those that are asked for."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from sqlalchemy import ColumnElement, Connection, select

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
            self._read(tables.SCOPE.c.path.in_(missing[start : start + IDS_A_QUERY]), IDS_A_QUERY)

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

    def write(self) -> None:
        """Write what has changed."""
        if self._changed:
            self._connection.execute(
                upsert(self._connection, tables.SCOPE),
                [
                    rows.scope_row(self._record.run_id, entry.scope, entry.items, entry.ordinal)
                    for entry in self._changed.values()
                ],
            )

    def _read_newest(self) -> None:
        if not self._has_newest:
            self._has_newest = True
            if self._record.facts.scope_count:
                first = self._record.facts.scope_count - NEWEST
                self._read(tables.SCOPE.c.ordinal > first, NEWEST)

    def _read(self, condition: ColumnElement[bool], limit: int) -> None:
        table = tables.SCOPE.c
        found = self._connection.execute(
            select(table.path, table.message, table["items"], table.ordinal)
            .where(table.run_id == self._record.run_id, condition)
            .limit(limit)
        )
        for path, message, items, ordinal in found:
            scope = scope_pb2.Scope.FromString(message)
            self._scopes.setdefault(path, None)
            if self._scopes[path] is None:
                self._scopes[path] = ScopeEntry(scope, bytes(items), ordinal)
