from pathlib import Path

import pytest

from support.append_server import AppendServer
from support.programs import Programs
from support.reporting import append_server, location, reporting

__all__ = ["append_server", "location", "reporting"]

ROOT = Path(__file__).parents[4]


@pytest.fixture
def programs(append_server: AppendServer, tmp_path: Path) -> Programs:
    """Start programs in the environment that has the other libraries."""
    return _programs("integrations", append_server, tmp_path)


@pytest.fixture
def torch_programs(append_server: AppendServer, tmp_path: Path) -> Programs:
    """Start programs in the environment that has PyTorch and what stands on it."""
    return _programs("integrations-torch", append_server, tmp_path)


def _programs(group: str, server: AppendServer, home: Path) -> Programs:
    interpreter = ROOT / f".venv-{group}/bin/python"
    if not interpreter.exists():
        pytest.fail(f"the libraries are not installed: `make {group}` does it")
    return Programs(home, server.address, interpreter=str(interpreter))
