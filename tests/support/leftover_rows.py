"""Which tables of a service have rows of a run."""

from sqlalchemy import Connection, func, select

from trackside_journal.records import RecordTables


def rows_of(connection: Connection, tables: RecordTables, run_id: str) -> dict[str, int]:
    """Return how many rows each table has of a run, for those that have any."""
    counts: dict[str, int] = {}
    for table in tables.every.sorted_tables:
        if "run_id" in table.c:
            query = select(func.count()).where(table.c.run_id == run_id)
            if count := connection.execute(query).scalar_one():
                counts[table.name] = count
    return counts
