"""Reading several statements from one state of the store."""

from sqlalchemy import Connection


def begin_snapshot(connection: Connection) -> None:
    """Have all that follows on a reader's connection see one state. Called before any query.

    On SQLite a reader's transaction does so by itself; on PostgreSQL a merge may otherwise
    move points between two statements.
    """
    if connection.dialect.name != "sqlite":
        connection.execution_options(isolation_level="REPEATABLE READ")
