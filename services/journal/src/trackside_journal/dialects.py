"""The few statements that SQLite and PostgreSQL spell alike but SQLAlchemy does not."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, Table
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.dialects.postgresql import psycopg
from sqlalchemy.sql import Insert


def upsert(connection: Connection, table: Table, *, only: Sequence[str] | None = None) -> Insert:
    """Return an insert that replaces the row of the same primary key.

    Args:
        connection: Decides the dialect.
        table: Where to insert.
        only: The columns to replace in a row that exists; default: all. Empty: keep it.
    """
    return _upsert(connection.dialect.name, table, None if only is None else tuple(only))


@lru_cache(maxsize=256)
def _upsert(dialect: str, table: Table, only: tuple[str, ...] | None) -> Insert:
    insert = (sqlite if dialect == "sqlite" else postgresql).insert(table)
    keys = [column.name for column in table.primary_key]
    names = [c.name for c in table.c if c.name not in keys] if only is None else only
    if not names:
        return insert.on_conflict_do_nothing(index_elements=keys)
    return insert.on_conflict_do_update(
        index_elements=keys, set_={name: insert.excluded[name] for name in names}
    )


def upsert_rows(
    connection: Connection, table: Table, columns: Sequence[str], rows: Sequence[tuple[Any, ...]]
) -> None:
    """Insert rows, given as values of the columns in order; replace those of the same key.

    Only the named columns are replaced. For hot paths: the driver gets the rows as they are.
    """
    if rows:
        statement = _upsert_statement(connection.dialect.name, table, tuple(columns))
        connection.exec_driver_sql(statement, list(rows))


@lru_cache(maxsize=256)
def _upsert_statement(dialect: str, table: Table, columns: tuple[str, ...]) -> str:
    only = tuple(name for name in columns if not table.c[name].primary_key)
    compiled = _upsert(dialect, table, only).compile(
        dialect=sqlite.dialect() if dialect == "sqlite" else psycopg.dialect(paramstyle="format"),
        column_keys=columns,
    )
    assert tuple(compiled.positiontup or ()) == columns
    return str(compiled)
