import pytest
from sqlalchemy import create_engine
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateTable

from trackside_runs.storage.tables import RunsTables


def test_the_tables_are_made_on_every_database(database_url: str) -> None:
    engine = create_engine(database_url)

    RunsTables.metadata.create_all(engine)

    engine.dispose()


@pytest.mark.parametrize("name", ["run", "run_tag", "run_label", "run_parameter"])
def test_texts_compare_by_code_point_on_postgresql(name: str) -> None:
    table = RunsTables.metadata.tables[name]

    statement = str(CreateTable(table).compile(dialect=postgresql.dialect()))

    assert 'run_id TEXT COLLATE "C"' in statement
