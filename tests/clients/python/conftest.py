from collections.abc import Iterator
from pathlib import Path

import pytest

from support.scripted_server import ScriptedServer
from trackside.client.connection import Connection
from trackside.delivery import leftovers
from trackside.location import Location


@pytest.fixture(autouse=True)
def patient_deliveries() -> Iterator[None]:
    """Give up nothing because a machine is slow: how long a test may take is its own limit."""
    with pytest.MonkeyPatch.context() as patch:  # the tests' own is to be undone where they use it
        patch.setattr(leftovers, "PATIENCE_SECONDS", 1e6)
        yield


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
