import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from support.terminal_shell import INTERRUPT, TerminalShell
from support.whole_installation import TRACKSIDE, WholeInstallation
from trackside.cli.tables import width_of

pytestmark = pytest.mark.end_to_end

_ESCAPES: Final = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_LONG: Final = "x" * 200


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WholeInstallation]:
    installation = WholeInstallation(tmp_path_factory.mktemp("installation") / "home")
    installation.start()
    for name in ("first", "second"):
        installation.command("run", "-d", "--name", name, "sh", "-c", f"echo {_LONG}; sleep 1000")
    yield installation
    installation.command("kill", "--yes", "first", "second")
    assert installation.stop() == 0


@pytest.fixture
def shell(installation: WholeInstallation, tmp_path: Path) -> Iterator[TerminalShell]:
    environment = {**installation.environment, "LANG": "C.UTF-8"}
    shell = TerminalShell(tmp_path, environment)
    yield shell
    shell.close()


def draw(shell: TerminalShell, *wanted: str, lines: int, columns: int) -> list[str]:
    """Resize the terminal and return what is drawn once three drawings in a row fit into it."""
    shell.resize(lines=lines, columns=columns)
    begin = len(shell.written)

    def latest() -> list[str]:
        drawn = _ESCAPES.sub("", shell.written[begin:]).replace("\r", "\n").splitlines()
        first = [number for number, line in enumerate(drawn) if wanted[0] in line]
        return drawn[first[-3] :] if len(first) > 3 else []

    def fits() -> bool:
        said = "\n".join(latest())
        return all(text in said for text in wanted) and max(map(width_of, latest())) <= columns

    shell.wait_until(fits)
    return latest()


@pytest.mark.parametrize("words", ["watch first", "watch"], ids=["run", "list"])
def test_what_is_watched_is_drawn_within_the_screen_whatever_its_size(
    words: str, shell: TerminalShell
) -> None:
    shell.begin(f"TERM=xterm-256color {TRACKSIDE} {words}\n")
    wide = draw(shell, "first", "RUNNING", lines=24, columns=120)
    narrow = draw(shell, "first", "RUNNING", lines=24, columns=60)
    shell.type(INTERRUPT)
    shell.wait_until(shell.is_prompting)

    shell.begin("echo $?\n")
    code = shell.finished().splitlines()[-1]

    assert any("first" in line and "RUNNING" in line for line in wide)
    assert max(map(width_of, wide)) <= 120
    assert max(map(width_of, narrow)) <= 60
    assert code == "130"
