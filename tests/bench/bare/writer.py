"""The bare program's one writer: group commit on SQLite or PostgreSQL."""

import queue
import sqlite3
import threading
from collections.abc import Callable, Sequence
from typing import Final, Generic, TypeVar

import psycopg
from typing_extensions import override

from bench.bare.rows import Row

T = TypeVar("T")

_GROUP: Final = 256
_COLUMNS: Final = "key, n, s0, s1, total, data"


class SqliteStore:
    """A file with synchronous FULL."""

    def __init__(self, path: str) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._connection.execute("pragma journal_mode=wal")
        self._connection.execute("pragma synchronous=full")
        self._connection.execute(
            "create table chunk(id integer primary key, key text, n int, s0 int, s1 int,"
            " total real, data blob)"
        )
        self._connection.execute("create index chunk_key on chunk(key, s0)")

    def insert(self, rows: Sequence[Row]) -> None:
        """Store rows; they are on disk when this returns."""
        self._connection.execute("begin")
        self._connection.executemany(f"insert into chunk({_COLUMNS}) values(?,?,?,?,?,?)", rows)
        self._connection.execute("commit")


class PostgresqlStore:
    """A table of a server."""

    def __init__(self, url: str) -> None:
        self._connection = psycopg.connect(url.replace("+psycopg", ""))
        self._connection.execute(
            "create table if not exists bare_chunk(id bigserial primary key, key text, n int,"
            " s0 bigint, s1 bigint, total float8, data bytea)"
        )
        self._connection.execute("create index if not exists bare_chunk_key on bare_chunk(key, s0)")
        self._connection.commit()

    def insert(self, rows: Sequence[Row]) -> None:
        """Store rows; they are on disk when this returns."""
        with self._connection.transaction(), self._connection.cursor() as cursor:
            cursor.executemany(
                f"insert into bare_chunk({_COLUMNS}) values(%s,%s,%s,%s,%s,%s)", rows
            )


class Writer(threading.Thread, Generic[T]):
    """One thread: take all that waits, one transaction, say so."""

    def __init__(
        self,
        store: SqliteStore | PostgresqlStore,
        decode: Callable[[bytes], list[Row]],
        done: Callable[[list[tuple[bytes, T]]], None],
    ) -> None:
        super().__init__(daemon=True)
        self.queue: queue.SimpleQueue[tuple[bytes, T]] = queue.SimpleQueue()
        self._store, self._decode, self._done = store, decode, done

    @override
    def run(self) -> None:
        while True:
            group = [self.queue.get()]
            while len(group) < _GROUP and not self.queue.empty():
                group.append(self.queue.get())
            self._store.insert([row for raw, _ in group for row in self._decode(raw)])
            self._done(group)
