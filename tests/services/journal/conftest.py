"""The journal's store for each test, on SQLite and on PostgreSQL."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.journal import EntryTable
from support.postgresql_server import PostgresqlServer
from trackside_journal.database import Database

OpenDatabase = Callable[[str], Database]


@pytest.fixture
def open_database() -> Iterator[OpenDatabase]:
    opened: list[Database] = []

    def open_one(url: str) -> Database:
        database = Database(url, schema="entries")
        opened.append(database)
        database.create_tables(EntryTable.metadata)
        return database

    yield open_one
    for database in opened:
        database.close()


@pytest.fixture
def database(open_database: OpenDatabase, database_url: str) -> Database:
    return open_database(database_url)


@pytest.fixture
def store_path(tmp_path: Path) -> Path:
    return tmp_path / "store.sqlite"


@pytest.fixture
def sqlite_database(open_database: OpenDatabase, store_path: Path) -> Database:
    return open_database(f"sqlite:///{store_path}")


@pytest.fixture
def database_on_a_mortal_server(
    open_database: OpenDatabase, postgresql_server: PostgresqlServer, postgresql_url: str
) -> Iterator[tuple[Database, PostgresqlServer]]:
    yield open_database(postgresql_url), postgresql_server
    postgresql_server.kill()
    postgresql_server.start()
