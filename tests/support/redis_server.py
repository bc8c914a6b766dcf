"""Fixtures for tests that need a real Redis: a private server, emptied before each test."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from typing_extensions import override

from support.private_server import LOOPBACK, PrivateServer, require_installed


class RedisServer(PrivateServer):
    """A private Redis that keeps nothing on disk: killed, it comes back empty."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._program = require_installed("Redis", shutil.which("redis-server"))

    @property
    def url(self) -> str:
        """The address that clients take."""
        return f"redis://{LOOPBACK}:{self.port}/0"

    @override
    def command(self) -> list[str]:
        settings = {"bind": LOOPBACK, "port": str(self.port), "save": "", "appendonly": "no"}
        return [
            self._program,
            *(word for key, value in settings.items() for word in (f"--{key}", value)),
        ]

    @override
    def is_ready(self) -> bool:
        with redis.Redis.from_url(self.url) as client:
            try:
                return bool(client.ping())
            except redis.ConnectionError:
                return False

    def empty(self) -> None:
        """Forget every key."""
        with redis.Redis.from_url(self.url) as client:
            client.flushall()


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def redis_url(redis_server: RedisServer) -> str:
    redis_server.ensure_running()
    redis_server.empty()
    return redis_server.url
