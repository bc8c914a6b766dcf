"""The store of one service: one writer, a few readers, on SQLite or PostgreSQL.

SQL is synchronous, in threads of ours. SQLite is one file and one process: a lock file keeps
a second process out, every commit is flushed (`synchronous=FULL`), and the writer's
connection alone checkpoints, so the WAL-reset bug of SQLite before 3.51.3 cannot strike.
"""

import asyncio
import contextlib
import fcntl
import os
import sqlite3
import threading
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, TypeVar

from sqlalchemy import Connection, Engine, MetaData, create_engine, event, text
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.pool import QueuePool, StaticPool

from trackside_journal.errors import StorageFullError, StoreLockedError, StoreUnavailableError
from trackside_journal.schema import bring_up

T = TypeVar("T")

_READERS: Final = 3
_LOCK_MILLISECONDS: Final = 900
"""How long a transaction waits for a lock. Two in a row, the one under way and the one that
waits behind it, end within two seconds."""

_PAGE_CACHE_KIB: Final = 8192
_WAL_BYTES_KEPT: Final = 64 << 20
_SCHEMA_LOCK: Final = 8750

_NOT_NOW_SQLITE: Final = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_READONLY,
}
_NOT_NOW_POSTGRESQL: Final = {"08", "40", "53", "55", "57", "58"}
"""Classes of SQLSTATE: connection, rollback, resources, object state, operator, system."""

_READ_ONLY: Final = "25006"
_DISK_FULL: Final = "53100"

_POSTGRESQL_OPTIONS: Final = {
    "default_transaction_isolation": r"read\ committed",
    "lock_timeout": _LOCK_MILLISECONDS,
    "statement_timeout": 30_000,
    "synchronous_commit": "on",
}


class Database:
    """One service's tables; `writing` for the committer's thread, `read` for everybody."""

    def __init__(self, url: str, *, schema: str, readers: int = _READERS) -> None:
        """Open the store.

        Args:
            url: `sqlite:///PATH` or `postgresql+psycopg://…`.
            schema: The PostgreSQL schema that holds the service's tables.
            readers: How many reads may be under way at once.

        Raises:
            StoreLockedError: Another process holds the SQLite file.
        """
        self.is_sqlite = url.startswith("sqlite")
        self._lock_file: int | None = None
        if self.is_sqlite:
            path = Path(url.removeprefix("sqlite:///"))
            path.parent.mkdir(parents=True, exist_ok=True)
            self._lock_file = _lock(path)
            self._writer = _sqlite_engine(url, reading=False, size=1)
            self._reader = _sqlite_engine(url, reading=True, size=readers)
            self._make_file()
        else:
            self._writer = self._reader = _postgresql_engine(url, schema, size=readers + 1)
        self._turn = threading.Lock()
        self._kept: Connection | None = None
        self._threads = ThreadPoolExecutor(readers, thread_name_prefix=f"{schema}-reader")
        self._schema = schema

    def _make_file(self) -> None:
        """Make the file and switch it to WAL before a reader opens it."""
        try:
            with translated_errors(), self._writer.connect():
                pass
        except BaseException:
            self._unlock()
            raise

    def _unlock(self) -> None:
        if self._lock_file is not None:
            os.close(self._lock_file)
            self._lock_file = None

    @property
    def description(self) -> str:
        """The store's name and version, for people."""
        with self._reader.connect() as connection:
            query = "select sqlite_version()" if self.is_sqlite else "show server_version"
            version = str(connection.execute(text(query)).scalar_one()).split()[0]
        return f"{'sqlite' if self.is_sqlite else 'postgresql'} {version}"

    def create_tables(self, metadata: MetaData) -> None:
        """Bring the tables to what is declared; safe from several processes at once.

        Raises:
            StoreTablesError: They are too different.
        """
        with translated_errors(), self._writer.begin() as connection:
            if not self.is_sqlite:
                # Replicas that start together wait for each other, however slow the machine.
                connection.execute(text("set local lock_timeout = 30000"))
                connection.execute(
                    text("select pg_advisory_xact_lock(:key)"), {"key": _SCHEMA_LOCK}
                )
                connection.execute(text(f'create schema if not exists "{self._schema}"'))
            bring_up(connection, metadata, schema=self._schema)

    @contextlib.contextmanager
    def writing(self) -> Generator[Connection]:
        """Give a connection in a transaction that commits at the end; other threads wait.

        Raises:
            StoreUnavailableError: The transaction was rolled back.
            StorageFullError: The transaction was rolled back.
        """
        with self._turn, translated_errors(), self._begun() as connection:
            yield connection

    def _begun(self) -> contextlib.AbstractContextManager[Connection]:
        return self._begun_on_kept() if self.is_sqlite else self._writer.begin()

    @contextlib.contextmanager
    def _begun_on_kept(self) -> Generator[Connection]:
        # Taking a connection and giving it back cost as much as a small group's statements.
        if self._kept is None:
            self._kept = self._writer.connect()
        with self._kept.begin():
            yield self._kept

    async def read(self, query: Callable[[Connection], T]) -> T:
        """Run a query in a reader's thread and return what it returns.

        The query sees one consistent state on SQLite, and that of each statement on
        PostgreSQL. When the caller is cancelled the query still runs to its end.
        """
        return await asyncio.get_running_loop().run_in_executor(self._threads, self.read_now, query)

    def read_now(self, query: Callable[[Connection], T]) -> T:
        """Run a query in the caller's thread."""
        with translated_errors(), self._reader.connect() as connection:
            return query(connection)

    def close(self) -> None:
        """Give everything back. The readers go first, so that the writer alone checkpoints."""
        self._threads.shutdown(wait=True)
        self._reader.dispose()
        if self._kept is not None:
            self._kept.close()
        self._writer.dispose()
        self._unlock()


@contextlib.contextmanager
def translated_errors() -> Generator[None]:
    """Turn a driver's word for "not now" into ours; anything else is a bug and passes."""
    try:
        yield
    except PoolTimeoutError as error:
        raise StoreUnavailableError from error
    except DBAPIError as error:
        if _is_disk_full(error):
            raise StorageFullError from error
        if error.connection_invalidated or _is_not_now(error):
            raise StoreUnavailableError from error
        raise


def _is_disk_full(error: DBAPIError) -> bool:
    if isinstance(error.orig, sqlite3.Error):
        return _sqlite_code(error.orig) == sqlite3.SQLITE_FULL
    return _sqlstate(error) == _DISK_FULL


def _is_not_now(error: DBAPIError) -> bool:
    if isinstance(error.orig, sqlite3.Error):
        return _sqlite_code(error.orig) in _NOT_NOW_SQLITE
    state = _sqlstate(error)
    if state is None:  # no answer from the server
        return isinstance(error, (OperationalError, InterfaceError))
    return state[:2] in _NOT_NOW_POSTGRESQL or state == _READ_ONLY


def _sqlite_code(error: sqlite3.Error) -> int:
    return getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF


def _sqlstate(error: DBAPIError) -> str | None:
    return getattr(error.orig, "sqlstate", None)


def _lock(path: Path) -> int:
    descriptor = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        message = f"Another process holds {path}; set TRACKSIDE_HOME to run a second server."
        raise StoreLockedError(message) from error
    return descriptor


def _sqlite_engine(url: str, *, reading: bool, size: int) -> Engine:
    arguments: dict[str, Any] = {"check_same_thread": False, "isolation_level": None}
    if reading:
        engine = create_engine(
            url, connect_args=arguments, poolclass=QueuePool, pool_size=size, max_overflow=0
        )
    else:
        engine = create_engine(url, connect_args=arguments, poolclass=StaticPool)

    def set_up(connection: Any, _record: object) -> None:  # noqa: ANN401 - a DBAPI connection
        cursor = connection.cursor()
        cursor.execute(f"pragma busy_timeout={_LOCK_MILLISECONDS}")
        cursor.execute("pragma mmap_size=0")
        cursor.execute(f"pragma cache_size=-{_PAGE_CACHE_KIB}")
        if reading:
            cursor.execute("pragma query_only=1")
            cursor.execute("pragma wal_autocheckpoint=0")
        else:
            # Merging and deleting give room back to the disk; only a new file takes this.
            cursor.execute("pragma auto_vacuum=full")
            cursor.execute("pragma journal_mode=wal")
            cursor.execute("pragma synchronous=full")
            cursor.execute(f"pragma journal_size_limit={_WAL_BYTES_KEPT}")
        cursor.close()

    def begin(connection: Connection) -> None:
        connection.exec_driver_sql("begin" if reading else "begin immediate")

    event.listen(engine, "connect", set_up)
    event.listen(engine, "begin", begin)
    return engine


def _postgresql_engine(url: str, schema: str, *, size: int) -> Engine:
    options = {"search_path": schema, **_POSTGRESQL_OPTIONS}
    return create_engine(
        url,
        pool_size=size,
        max_overflow=0,
        pool_pre_ping=True,
        pool_timeout=2,
        connect_args={
            "options": " ".join(f"-c{name}={value}" for name, value in options.items()),
            "connect_timeout": 2,
            # A server that vanished without a word is found out by the network's silence.
            "tcp_user_timeout": 5000,
            "keepalives_idle": 5,
            "keepalives_interval": 2,
            "keepalives_count": 3,
        },
    )
