"""The runner that is tested, and what it is to run."""

import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import pytest

from trackside_plugin_interface.runner import RunSpec
from trackside_plugin_interface.testing.host import Host, Hosts, Specs

ALPHABET: Final = "0123456789abcdefghjkmnpqrstvwxyz"


@pytest.fixture(name="hosts")
def _hosts(request: pytest.FixtureRequest) -> Hosts:
    options = request.config.option
    return lambda: Host(options.trackside_runner, options.trackside_timeout)


@pytest.fixture(name="specs")
def _specs(tmp_path: Path) -> Specs:
    def make(
        command: Sequence[str], *, environment: Mapping[str, str] | None = None, folder: str = ""
    ) -> RunSpec:
        run_id = "".join(secrets.choice(ALPHABET) for _ in range(16))
        run_directory = tmp_path / run_id
        run_directory.mkdir()
        return RunSpec(
            run_id=run_id,
            name="contract",
            command=command,
            work_directory=folder or str(tmp_path),
            environment=environment or {},
            server="127.0.0.1:1",
            token=run_id[::-1],
            run_directory=run_directory,
        )

    return make
