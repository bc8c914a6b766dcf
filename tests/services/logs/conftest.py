"""A running logs service with one known run, on each store."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

import pytest

from support.logs import RUN_ID, SERVER_ID, Logs, RunLogs
from support.run_directory import RunDirectoryStandIn
from trackside_logs.bootstrap import LogsService


@pytest.fixture
def run_logs(database_url: str) -> RunLogs:
    """Return a context manager that runs a service on the test's store."""

    @asynccontextmanager
    async def run(
        directory: RunDirectoryStandIn | None = None, redis_url: str | None = None
    ) -> AsyncGenerator[Logs]:
        directory = directory or RunDirectoryStandIn()
        await directory.put(RUN_ID)
        service = LogsService(directory.surroundings(database_url, SERVER_ID, redis_url))
        await service.start()
        try:
            yield Logs(service, directory)
        finally:
            await service.close()

    return run


@pytest.fixture
async def logs(run_logs: RunLogs) -> AsyncIterator[Logs]:
    async with run_logs() as running:
        yield running
