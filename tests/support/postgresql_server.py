"""Fixtures for tests that need a real PostgreSQL: a private cluster, a fresh database each."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import psutil
import psycopg
import pytest
from psycopg import sql
from typing_extensions import override

from support.private_server import LOOPBACK, PrivateServer, require_installed

USER = "trackside"


class PostgresqlServer(PrivateServer):
    """A private PostgreSQL cluster: what it acknowledged survives `kill`, but no power cut."""

    stop_signal = signal.SIGINT

    def __init__(self, folder: Path) -> None:
        user = unprivileged_user()
        super().__init__(folder, user=user)
        self._programs = Path(require_installed("PostgreSQL", find_initdb())).parent
        if user is not None:
            shutil.chown(folder, user)
        subprocess.run(  # noqa: S603 - the command is the tests' own
            [
                self._programs / "initdb",
                f"--pgdata={folder / 'data'}",
                f"--username={USER}",
                "--auth=trust",
                "--encoding=UTF8",
                "--locale=C",
                "--no-sync",
            ],
            check=True,
            cwd=folder,
            stdout=subprocess.DEVNULL,
            user=user,
            extra_groups=None if user is None else [],
        )

    def url(self, database: str = "postgres") -> str:
        """Return the address of a database, as SQLAlchemy takes it."""
        return f"postgresql+psycopg://{USER}@{LOOPBACK}:{self.port}/{database}"

    @override
    def command(self) -> list[str]:
        settings = {
            "listen_addresses": LOOPBACK,
            "port": str(self.port),
            "unix_socket_directories": "",
            "max_connections": "200",
            "fsync": "off",
            "full_page_writes": "off",
        }
        options = [word for key, value in settings.items() for word in ("-c", f"{key}={value}")]
        return [str(self._programs / "postgres"), "-D", str(self.folder / "data"), *options]

    @override
    def is_ready(self) -> bool:
        try:
            self._connect().close()
        except psycopg.OperationalError:
            return False
        return True

    @override
    def kill(self) -> None:
        children = self._children()
        super().kill()
        # Until the last of them has noticed, the cluster is in use and does not start again.
        _, left = psutil.wait_procs(children, timeout=60)
        assert not left

    def _children(self) -> list[psutil.Process]:
        try:
            return [] if self._process is None else psutil.Process(self._process.pid).children()
        except psutil.NoSuchProcess:
            return []

    @contextmanager
    def fresh_database(self) -> Generator[str]:
        """Make an empty database, yield its address, and drop it with whoever is connected."""
        name = f"test_{uuid4().hex}"
        self._execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        yield self.url(name)
        self._execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))

    def _execute(self, statement: sql.Composed) -> None:
        with self._connect() as connection:
            connection.execute(statement)

    def _connect(self) -> psycopg.Connection:
        return psycopg.connect(
            host=LOOPBACK, port=self.port, user=USER, dbname="postgres", autocommit=True
        )


def unprivileged_user() -> str | None:
    """Return whom to run as: PostgreSQL refuses root."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


def find_initdb() -> str | None:
    """Return where `initdb` is; Debian keeps it out of the path, one folder a version."""
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return str(debian[-1]) if debian else shutil.which("initdb")


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[PostgresqlServer]:
    # Not pytest's own temporary folder: that one is closed to the unprivileged user.
    with tempfile.TemporaryDirectory(prefix="trackside-postgresql-") as folder:
        server = PostgresqlServer(Path(folder))
        server.start()
        yield server
        server.stop()


@pytest.fixture
def postgresql_url(postgresql_server: PostgresqlServer) -> Iterator[str]:
    postgresql_server.ensure_running()
    with postgresql_server.fresh_database() as url:
        yield url
