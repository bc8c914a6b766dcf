from pathlib import Path

import pytest

from support.append_server import AppendServer
from support.programs import Programs
from support.reporting import append_server

__all__ = ["append_server"]

INTERPRETER = Path(__file__).parents[4] / ".venv-integrations/bin/python"


@pytest.fixture
def programs(append_server: AppendServer, tmp_path: Path) -> Programs:
    """Start programs in the environment that has the other libraries."""
    if not INTERPRETER.exists():
        pytest.fail("the libraries are not installed: `make integrations` does it")
    return Programs(tmp_path, append_server.address, interpreter=str(INTERPRETER))
