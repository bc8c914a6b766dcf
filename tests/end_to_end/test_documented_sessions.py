import os
import shutil
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from support.documented_sessions import replay, sessions
from support.shown_text import ShownText
from support.terminal_shell import TerminalShell
from support.whole_installation import WholeInstallation

pytestmark = [pytest.mark.end_to_end, pytest.mark.timeout(300)]

ROOT: Final = Path(__file__).parents[2]
EXAMPLE: Final = ROOT / "clients/python/examples/digits/fit.py"


@pytest.fixture
def installation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[WholeInstallation]:
    monkeypatch.setenv("LOGNAME", "ann")  # for whom the token of a new home speaks
    installation = WholeInstallation(tmp_path / "home", TRACKSIDE_LOCAL_SLOTS="4")
    installation.start()
    yield installation
    assert installation.stop() == 0


@pytest.fixture
def shell(installation: WholeInstallation, tmp_path: Path) -> Iterator[TerminalShell]:
    folder = tmp_path / "ann"
    folder.mkdir()
    shutil.copy(EXAMPLE, folder)
    environment = {
        **installation.environment,
        "HOME": str(folder),
        "TRACKSIDE_CONFIG": str(folder / ".config"),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "LANG": "C.UTF-8",
    }
    shell = TerminalShell(folder, environment)
    yield shell
    shell.close()


@pytest.mark.parametrize("name", ["README.md", "docs/cli.md"])
def test_what_a_page_shows_is_what_comes(
    name: str, shell: TerminalShell, installation: WholeInstallation, tmp_path: Path
) -> None:
    page = (ROOT / name).read_text("utf-8")
    text = ShownText(
        {
            "127.0.0.1:8750": installation.address,
            "box": socket.gethostname(),
            "/home/ann": str(tmp_path / "ann"),
            ".venv/bin": str(Path(sys.executable).parent),
        }
    )

    differences = [replay(step, shell, text) for session in sessions(page) for step in session]

    assert "\n\n".join(filter(None, differences)) == ""
