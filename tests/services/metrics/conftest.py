"""A running metrics service with one known run, on each store."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

import pytest

from support.metrics import RUN_ID, SERVER_ID, Metrics, RunMetrics
from support.run_directory import RunDirectoryStandIn
from trackside_metrics.bootstrap import MetricsService


@pytest.fixture
def run_metrics(database_url: str) -> RunMetrics:
    """Return a context manager that runs a service on the test's store."""

    @asynccontextmanager
    async def run(
        directory: RunDirectoryStandIn | None = None, redis_url: str | None = None
    ) -> AsyncGenerator[Metrics]:
        directory = directory or RunDirectoryStandIn()
        await directory.put(RUN_ID)
        service = MetricsService(
            directory.surroundings(database_url, SERVER_ID, redis_url), directory.report_figures
        )
        await service.start()
        try:
            yield Metrics(service, directory)
        finally:
            await service.close()

    return run


@pytest.fixture
async def metrics(run_metrics: RunMetrics) -> AsyncIterator[Metrics]:
    async with run_metrics() as running:
        yield running
