"""Installations: a whole one that a module's tests share, and one in its deployed form."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.apart_installation import ApartInstallation
from support.redis_server import RedisServer
from support.whole_installation import WholeInstallation
from trackside.client.connection import Connection
from trackside.location import Location, read_token
from trackside_agent import detached


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WholeInstallation]:
    """Give a server with its agent to all tests of a module."""
    installation = WholeInstallation(tmp_path_factory.mktemp("installation") / "home")
    installation.start()
    yield installation
    assert installation.stop() == 0


@pytest.fixture
def connection(installation: WholeInstallation) -> Iterator[Connection]:
    token = read_token(installation.home)
    with Connection(Location(installation.address, token, installation.home)) as connection:
        yield connection


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
