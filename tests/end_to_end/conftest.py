"""Installations in their deployed form, for the tests that need replicas."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.apart_installation import ApartInstallation
from support.redis_server import RedisServer
from trackside_agent import detached


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[RedisServer]:
    folder = tmp_path / "redis"
    folder.mkdir()
    server = RedisServer(folder)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def replicas(
    tmp_path: Path, postgresql_url: str, own_redis: RedisServer
) -> Iterator[ApartInstallation]:
    """Give two replicas of each service, and an agent that is connected to the first."""
    installation = ApartInstallation(tmp_path, database_url=postgresql_url, redis_url=own_redis.url)
    try:
        installation.start()
        detached.start_detached(installation.home, installation.addresses[0])
        yield installation
    finally:
        detached.stop(installation.home)
        installation.stop()
