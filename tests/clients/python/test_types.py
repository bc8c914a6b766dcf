import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import trackside
import trackside_protos

pytestmark = pytest.mark.processes


@pytest.fixture(scope="module")
def symbols(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """Return what a type checker knows of the package where it is installed, by name."""
    folder = tmp_path_factory.mktemp("installed")
    for package in (trackside, trackside_protos):
        source = Path(package.__path__[0])
        shutil.copytree(source, folder / source.name)
    checker = Path(sys.executable).with_name("basedpyright")
    told = subprocess.run(  # noqa: S603 - our own words
        [checker, "--verifytypes", "trackside", "--ignoreexternal", "--outputjson"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder)},
        stdout=subprocess.PIPE,
        check=False,
    ).stdout
    found = json.loads(told)["typeCompleteness"]["symbols"]
    return {symbol["name"]: symbol for symbol in found}


def test_every_name_of_the_package_has_a_known_type(symbols: dict[str, dict[str, Any]]) -> None:
    # What stands on libraries that are not there is as unknown as these.
    ours = {
        name: symbol
        for name, symbol in symbols.items()
        if not name.startswith(("trackside.integrations.", "trackside.cli."))
    }

    assert "trackside.session.start.start_run" in ours
    assert [name for name, symbol in ours.items() if not symbol["isTypeKnown"]] == []


def test_what_the_program_of_a_user_may_get_wrong_is_found(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        """
import trackside
import trackside.aio

trackside.start_runs("train")
trackside.launch("train", tag="quick")
trackside.aio.launch("train", tag="quick")


async def main() -> None:
    handle = await trackside.aio.launch("train")
    handle.kil()
"""
    )
    checker = Path(sys.executable).with_name("basedpyright")
    told = subprocess.run(  # noqa: S603 - our own words
        [checker, "--pythonpath", sys.executable, "--outputjson", program],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        check=False,
    ).stdout
    errors = [
        (found["range"]["start"]["line"], found["rule"])
        for found in json.loads(told)["generalDiagnostics"]
        if found["severity"] == "error"
    ]

    assert errors == [
        (4, "reportAttributeAccessIssue"),
        (5, "reportCallIssue"),
        (6, "reportCallIssue"),
        (11, "reportAttributeAccessIssue"),
    ]
