from collections.abc import Iterator
from pathlib import Path

import pytest

from support.scripted_server import ScriptedServer
from trackside.client.connection import Connection
from trackside.location import Location


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    server = ScriptedServer()
    server.start()
    yield server
    server.stop()


@pytest.fixture
def connection(server: ScriptedServer, tmp_path: Path) -> Iterator[Connection]:
    with Connection(Location(server.address, "token-of-mine", tmp_path)) as connection:
        yield connection
