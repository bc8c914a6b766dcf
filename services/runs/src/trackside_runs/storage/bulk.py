"""Writing many rows of a table: the driver's own statement costs half of a built one."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, Table


def insert_many(
    connection: Connection, table: Table, columns: tuple[str, ...], rows: Sequence[tuple[Any, ...]]
) -> None:
    """Insert rows, whose values are in the order of the columns."""
    if rows:
        connection.exec_driver_sql(_insert(connection.dialect.name, table, columns), list(rows))


def update_many(
    connection: Connection,
    table: Table,
    keys: tuple[str, ...],
    columns: tuple[str, ...],
    rows: Sequence[tuple[Any, ...]],
) -> None:
    """Update the rows of some keys; each has the values of the columns, then those of the keys."""
    if rows:
        statement = _update(connection.dialect.name, table, keys, columns)
        connection.exec_driver_sql(statement, list(rows))


def delete_many(
    connection: Connection, table: Table, keys: tuple[str, ...], rows: Sequence[tuple[Any, ...]]
) -> None:
    """Remove the rows of some keys."""
    if rows:
        connection.exec_driver_sql(_delete(connection.dialect.name, table, keys), list(rows))


def _mark(dialect: str) -> str:
    return "?" if dialect == "sqlite" else "%s"


@lru_cache(maxsize=64)
def _insert(dialect: str, table: Table, columns: tuple[str, ...]) -> str:
    marks = ", ".join([_mark(dialect)] * len(columns))
    return f'insert into "{table.name}" ({_quoted(columns)}) values ({marks})'  # noqa: S608 - our own names


@lru_cache(maxsize=64)
def _update(dialect: str, table: Table, keys: tuple[str, ...], columns: tuple[str, ...]) -> str:
    mark = _mark(dialect)
    values = ", ".join(f'"{column}" = {mark}' for column in columns)
    wanted = " and ".join(f'"{key}" = {mark}' for key in keys)
    return f'update "{table.name}" set {values} where {wanted}'  # noqa: S608 - our own names


@lru_cache(maxsize=64)
def _delete(dialect: str, table: Table, keys: tuple[str, ...]) -> str:
    wanted = " and ".join(f'"{key}" = {_mark(dialect)}' for key in keys)
    return f'delete from "{table.name}" where {wanted}'  # noqa: S608 - our own names


def _quoted(columns: tuple[str, ...]) -> str:
    return ", ".join(f'"{column}"' for column in columns)
