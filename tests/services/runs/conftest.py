"""Running runs services: one on SQLite, or two replicas over PostgreSQL and Redis."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from support.runs import SERVER_ID, Cluster, Server, ShiftingClock
from trackside_runs.bootstrap import RunsApplication
from trackside_serving.home import Home
from trackside_serving.settings import Settings


class Starter:
    """Starts services and ends them with the test."""

    def __init__(self, home: Path, stack: AsyncExitStack) -> None:
        self.home = home
        self.clock = ShiftingClock()
        self._stack = stack
        self._signer = Home(home).signer()

    async def start(
        self, database_url: str, redis_url: str | None = None, **settings: Any
    ) -> Server:
        application = RunsApplication(
            database_url=database_url,
            server_id=SERVER_ID,
            redis_url=redis_url,
            settings=Settings.model_validate({"home": self.home, **settings}),
            signer=self._signer,
            clock_ms=self.clock,
        )
        await application.start()
        self._stack.push_async_callback(application.close)
        return Server(application, self.clock)


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


@pytest.fixture(
    params=[
        "sqlite",
        pytest.param("postgresql", marks=[pytest.mark.postgresql, pytest.mark.redis]),
    ]
)
async def cluster(request: pytest.FixtureRequest, starter: Starter, sqlite_url: str) -> Cluster:
    if request.param == "sqlite":
        one = await starter.start(sqlite_url)
        return Cluster(one, one, starter.clock)
    database_url = request.getfixturevalue("postgresql_url")
    redis_url = request.getfixturevalue("redis_url")
    one, other = [await starter.start(database_url, redis_url) for _ in range(2)]
    other.batches = one.batches
    return Cluster(one, other, starter.clock)
