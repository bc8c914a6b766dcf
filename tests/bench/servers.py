"""A PostgreSQL and a Redis of the benchmarks' own."""

import contextlib
import shutil
import tempfile
from collections.abc import Generator
from pathlib import Path

from typing_extensions import override

from support.postgresql_server import PostgresqlServer, find_initdb
from support.redis_server import RedisServer


class Servers:
    """Both servers, running."""

    def __init__(self, postgresql: PostgresqlServer, redis: RedisServer) -> None:
        self._postgresql = postgresql
        self._redis = redis

    @contextlib.contextmanager
    def fresh(self) -> Generator[tuple[str, str]]:
        """Yield the URLs of an empty database and an empty Redis."""
        self._redis.empty()
        with self._postgresql.fresh_database() as store:
            yield store, self._redis.url


class _DurablePostgresql(PostgresqlServer):
    """One that flushes to the disk, as SQLite does with synchronous FULL."""

    @override
    def command(self) -> list[str]:
        return [*super().command(), "-c", "fsync=on", "-c", "full_page_writes=on"]


def are_installed() -> bool:
    """Return whether both programs are there."""
    return find_initdb() is not None and shutil.which("redis-server") is not None


@contextlib.contextmanager
def started() -> Generator[Servers]:
    """Start both; end them at the end."""
    with (
        tempfile.TemporaryDirectory(prefix="trackside-bench-") as data,
        tempfile.TemporaryDirectory(prefix="trackside-bench-") as folder,
        contextlib.ExitStack() as stopping,
    ):
        postgresql, redis = _DurablePostgresql(Path(data)), RedisServer(Path(folder))
        for server in (postgresql, redis):
            server.start()
            stopping.callback(server.stop)
        yield Servers(postgresql, redis)
