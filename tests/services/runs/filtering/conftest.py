"""The tables of the runs service in databases of their own."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine, create_engine

from support.postgresql_server import PostgresqlServer
from trackside_runs.storage.tables import RunsTables


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    engine = create_engine("sqlite://")
    RunsTables.metadata.create_all(engine)
    yield engine
    engine.dispose()


@pytest.fixture(scope="module")
def postgresql_engine(postgresql_server: PostgresqlServer) -> Iterator[Engine]:
    with postgresql_server.fresh_database() as url:
        engine = create_engine(url)
        RunsTables.metadata.create_all(engine)
        yield engine
        engine.dispose()
