"""Running runs services: one on SQLite, or two replicas over PostgreSQL and Redis."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from support.runs import Cluster, Server, Starter


@pytest.fixture
async def starter(tmp_path: Path) -> AsyncIterator[Starter]:
    async with AsyncExitStack() as stack:
        yield Starter(tmp_path / "home", stack)


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'runs.sqlite'}"


@pytest.fixture
async def server(starter: Starter, sqlite_url: str) -> Server:
    return await starter.start(sqlite_url)


@pytest.fixture
async def replicas(starter: Starter, postgresql_url: str, redis_url: str) -> Cluster:
    """Two replicas over PostgreSQL and Redis."""
    return await _replicas(starter, postgresql_url, redis_url)


@pytest.fixture(
    params=[
        "sqlite",
        pytest.param("postgresql", marks=[pytest.mark.postgresql, pytest.mark.redis]),
    ]
)
async def cluster(request: pytest.FixtureRequest, starter: Starter, sqlite_url: str) -> Cluster:
    """One service on SQLite, or two replicas over PostgreSQL and Redis."""
    if request.param == "sqlite":
        one = await starter.start(sqlite_url)
        return Cluster(one, one, starter.clock)
    urls = [request.getfixturevalue(name) for name in ("postgresql_url", "redis_url")]
    return await _replicas(starter, *urls)


async def _replicas(starter: Starter, database_url: str, redis_url: str) -> Cluster:
    one, other = [await starter.start(database_url, redis_url) for _ in range(2)]
    other.batches = one.batches
    return Cluster(one, other, starter.clock)
