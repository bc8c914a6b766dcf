"""A server that keeps what it gets, a home, and programs that report to it, as fixtures."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.append_server import AppendServer
from support.programs import Programs
from trackside.location import Location


@pytest.fixture
def append_server() -> Iterator[AppendServer]:
    """Serve the append streams, strictly by the contract."""
    server = AppendServer()
    server.start()
    yield server
    server.stop()


@pytest.fixture
def location(append_server: AppendServer, tmp_path: Path) -> Location:
    """Return where that server is, and an empty home."""
    return Location(append_server.address, append_server.token, tmp_path)


@pytest.fixture
def programs(append_server: AppendServer, tmp_path: Path) -> Iterator[Programs]:
    """Start programs that report to that server; what is left of them ends with the test."""
    programs = Programs(tmp_path, append_server.address)
    yield programs
    programs.end()


@pytest.fixture
def reporting(location: Location, monkeypatch: pytest.MonkeyPatch) -> Location:
    """Let this process report to that server."""
    monkeypatch.setenv("TRACKSIDE_HOME", str(location.home))
    monkeypatch.setenv("TRACKSIDE_SERVER", location.server)
    monkeypatch.setenv("TRACKSIDE_TOKEN", location.token)
    for name in ("TRACKSIDE_RUN_ID", "TRACKSIDE_MODE", "TRACKSIDE_EXIT_TIMEOUT"):
        monkeypatch.delenv(name, raising=False)
    return location
