"""The tables of a store: made when there are none, widened when an earlier version made them.

What this version declares is the schema. A mark in the store tells which declaration it was last
brought to, so an ordinary start compares two texts. With another mark the tables themselves are
compared: what is missing is added, and a store that would need anything else is refused before
anything is changed. So from one version to the next, tables may come, gain columns that may be
empty or have a default, and gain or lose indexes; whatever goes further needs a step of its own.
"""

import hashlib
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final, cast

from sqlalchemy import (
    Column,
    Connection,
    Dialect,
    MetaData,
    Table,
    Text,
    delete,
    false,
    insert,
    inspect,
    select,
    text,
    true,
)
from sqlalchemy.schema import CreateIndex, CreateTable
from sqlalchemy.sql.schema import ScalarElementColumnDefault

from trackside_journal.errors import StoreTablesError

if TYPE_CHECKING:
    from alembic.migration import MigrationContext

_MARKS: Final = MetaData()
_MARK: Final = Table(
    "schema_mark",
    _MARKS,
    Column("fingerprint", Text, nullable=False),
    Column("version", Text, nullable=False),
)
"""One row: the declaration that the tables were last brought to, and the version it was of."""

_DECLARATIONS: Final[dict[tuple[MetaData, str], Sequence[str]]] = {}

Change = tuple[Any, ...]
"""A difference as Alembic tells it: a word for what is to be done, then what it is done to."""


def bring_up(connection: Connection, metadata: MetaData, *, schema: str) -> None:
    """Bring the tables of a store to what is declared, in the connection's transaction.

    Raises:
        StoreTablesError: They differ by more than what can be added.
    """
    there = set(inspect(connection).get_table_names())
    declaration = _declaration(metadata, connection.dialect)
    fingerprint = hashlib.sha256("\n".join(declaration).encode()).hexdigest()
    mark = _mark(connection) if _MARK.name in there else None
    if mark is not None and mark[0] == fingerprint:
        return
    if there.intersection(metadata.tables):
        maker = mark[1] if mark is not None else ""
        _widen(connection, metadata, schema=schema, maker=maker)
        metadata.create_all(connection)
    else:
        for statement in declaration:
            connection.exec_driver_sql(statement)
    _MARKS.create_all(connection)
    connection.execute(delete(_MARK))
    values = {"fingerprint": fingerprint, "version": version("trackside-journal")}
    connection.execute(insert(_MARK).values(values))


def _declaration(metadata: MetaData, dialect: Dialect) -> Sequence[str]:
    """Return the statements that make the tables; they are compiled once in a process."""
    key = (metadata, dialect.name)
    if key not in _DECLARATIONS:
        _DECLARATIONS[key] = [
            str(statement.compile(dialect=dialect))
            for table in metadata.sorted_tables
            for statement in (
                CreateTable(table),
                *(CreateIndex(index) for index in sorted(table.indexes, key=lambda i: str(i.name))),
            )
        ]
    return _DECLARATIONS[key]


def _mark(connection: Connection) -> tuple[str, str] | None:
    row = connection.execute(select(_MARK.c.fingerprint, _MARK.c.version)).first()
    return (row[0], row[1]) if row is not None else None


def _widen(connection: Connection, metadata: MetaData, *, schema: str, maker: str) -> None:
    """Add the columns and indexes that tables lack, and drop the indexes of earlier versions."""
    # Imported where they are needed, at the first start after another version.
    from alembic.migration import MigrationContext  # noqa: PLC0415
    from alembic.operations import Operations  # noqa: PLC0415

    context = MigrationContext.configure(connection, opts={"compare_type": True})
    changes = list(_changes(context, metadata))
    for change in changes:
        if not _is_addition(change):
            raise StoreTablesError(schema=schema, maker=maker, difference=_difference(change))
    operations = Operations(context)
    for change in changes:
        match change:
            case ("add_column", _, table_name, column):
                operations.add_column(table_name, _addable(column, connection.dialect.name))
            case ("add_index", index):
                index.create(connection)
            case (_, index):
                operations.drop_index(index.name, index.table.name)
            case _:
                pass


def _changes(context: "MigrationContext", metadata: MetaData) -> Iterator[Change]:
    """Yield what keeps the tables that are there from being as declared."""
    from alembic.autogenerate import compare_metadata  # noqa: PLC0415

    found = cast("list[Change | list[Change]]", compare_metadata(context, metadata))
    changes = [change for some in found for change in (some if isinstance(some, list) else [some])]
    new = {change[1].name for change in changes if change[0] == "add_table"}
    for change in changes:
        match change:
            case ("add_table", _):
                pass
            case ("add_index", index) if index.table.name in new:
                pass
            case ("remove_table", table) if table.name == _MARK.name:
                pass
            case _:
                yield change


def _is_addition(change: Change) -> bool:
    match change:
        case ("add_column", _, _, column):
            return not column.primary_key and (
                column.nullable or isinstance(column.default, ScalarElementColumnDefault)
            )
        case (kind, *_):
            return kind in {"add_index", "remove_index"}
        case _:
            return False


def _addable(declared: "Column[Any]", dialect: str) -> "Column[Any]":
    """Return a column that has its default in the database too, for the rows that are there."""
    default = declared.default
    is_known = isinstance(default, ScalarElementColumnDefault)
    return Column(
        declared.name,
        declared.type,
        nullable=declared.nullable,
        server_default=_in_sql(default.arg, dialect) if is_known else None,
    )


def _in_sql(default: object, dialect: str) -> Any:  # noqa: ANN401 - as SQLAlchemy takes it
    match default:
        case bool():
            return true() if default else false()
        case bytes():
            return text(f"x'{default.hex()}'" if dialect == "sqlite" else f"'\\x{default.hex()}'")
        case str():
            return default
        case _:
            return text(str(default))


def _difference(change: Change) -> str:
    """Return what cannot be mended, in a few words."""
    match change:
        case ("add_column" | "remove_column" as kind, _, table_name, column):
            return f"{kind.replace('_', ' ')} {table_name}.{column.name}"
        case (kind, thing) if hasattr(thing, "name"):
            return f"{kind.replace('_', ' ')} {thing.name}"
        case (kind, _, table_name, column_name, *_):
            return f"{kind.replace('_', ' ')} {table_name}.{column_name}"
        case _:
            return str(change[0])
