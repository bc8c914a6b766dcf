from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Row,
    Table,
    Text,
    inspect,
    text,
)

from trackside_journal.database import Database
from trackside_journal.errors import StoreTablesError
from trackside_logs.tables import TABLES as LOGS_TABLES
from trackside_metrics.tables import TABLES as METRICS_TABLES
from trackside_runs.storage.tables import RunsTables

Start = Callable[[MetaData], Database]


@pytest.fixture
def start(database_url: str) -> Iterator[Start]:
    running: list[Database] = []

    def start_one(metadata: MetaData) -> Database:
        while running:
            running.pop().close()
        running.append(Database(database_url, schema="things"))
        running[-1].create_tables(metadata)
        return running[-1]

    yield start_one
    for database in running:
        database.close()


def things(*more: "Column[Any] | Index", name: bool = True) -> MetaData:
    metadata = MetaData()
    columns: list[Column[Any]] = [Column("id", Integer, primary_key=True)]
    if name:
        columns.append(Column("name", Text, default="", nullable=False))
    Table("thing", metadata, *columns, *more)
    return metadata


def write(database: Database, statement: str) -> None:
    with database.writing() as connection:
        connection.execute(text(statement))


def rows(database: Database) -> list[Row[Any]]:
    return database.read_now(
        lambda connection: list(connection.execute(text("select * from thing order by id")))
    )


def indexes(database: Database) -> set[str | None]:
    return database.read_now(
        lambda connection: {index["name"] for index in inspect(connection).get_indexes("thing")}
    )


def test_what_an_earlier_version_stored_is_there_beside_the_new_columns(start: Start) -> None:
    write(start(things()), "insert into thing (id, name) values (1, 'kept')")
    widened = things(
        Column("count", BigInteger, default=7, nullable=False),
        Column("open", Boolean, default=True, nullable=False),
        Column("blob", LargeBinary, default=b"\x00\xff", nullable=False),
        Column("note", Text, default="it's: new", nullable=False),
        Column("code", Integer),
        Index("thing_by_count", "count"),
    )
    Table("other", widened, Column("id", Integer, primary_key=True), Index("other_by_id", "id"))

    database = start(widened)

    assert [tuple(row) for row in rows(database)] == [
        (1, "kept", 7, True, b"\x00\xff", "it's: new", None)
    ]
    assert indexes(database) == {"thing_by_count"}
    write(database, "insert into other (id) values (1)")


def test_an_index_that_is_no_longer_declared_goes(start: Start) -> None:
    start(things(Index("thing_by_name", "name")))

    assert indexes(start(things())) == set()


def test_starting_again_changes_nothing(start: Start) -> None:
    write(start(things()), "insert into thing (id, name) values (1, 'kept')")

    assert rows(start(things())) == [(1, "kept")]


def test_the_tables_of_a_later_version_are_refused_as_they_are(start: Start) -> None:
    later = things(Column("later", Integer))
    write(start(later), "insert into thing (id, name, later) values (1, 'kept', 2)")

    with pytest.raises(
        StoreTablesError, match=r"tables of things were .*remove column thing.later"
    ):
        start(things(Index("thing_by_name", "name")))

    database = start(later)
    assert (rows(database), indexes(database)) == ([(1, "kept", 2)], set())


def test_a_column_that_rows_cannot_have_is_refused(start: Start) -> None:
    start(things(name=False))

    with pytest.raises(StoreTablesError, match=r"add column thing\.owner"):
        start(things(Column("owner", Text, nullable=False)))


def test_a_column_of_another_type_is_refused(start: Start) -> None:
    start(things(Column("size", Integer)))

    with pytest.raises(StoreTablesError, match=r"modify type thing\.size"):
        start(things(Column("size", LargeBinary)))


@pytest.mark.parametrize(
    "metadata", [RunsTables.metadata, LOGS_TABLES, METRICS_TABLES], ids=["runs", "logs", "metrics"]
)
def test_a_service_finds_its_own_tables_as_it_declared_them(
    start: Start, metadata: MetaData
) -> None:
    write(start(metadata), "drop table schema_mark")  # so that they are compared one by one

    database = start(metadata)

    assert database.read_now(lambda connection: inspect(connection).has_table("schema_mark"))
