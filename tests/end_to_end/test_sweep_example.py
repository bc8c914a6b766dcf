import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from trackside_agent import detached

pytestmark = [pytest.mark.end_to_end, pytest.mark.timeout(280)]

MAIN: Final = Path(__file__).parents[2] / "clients/python/examples/sweep/main.py"


class Example:
    """The program that `make run` runs, in a home of its own."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self._processes: list[subprocess.Popen[str]] = []

    def start(self, listen: str = "127.0.0.1:0") -> subprocess.Popen[str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith("TRACKSIDE_")}
        process = subprocess.Popen(  # noqa: S603 - our own program
            [sys.executable, MAIN],
            env={**kept, "TRACKSIDE_HOME": str(self.home), "TRACKSIDE_LISTEN": listen},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._processes.append(process)
        return process

    def end(self) -> None:
        for process in self._processes:
            with process:
                process.terminate()
        detached.stop(self.home)


@pytest.fixture
def example(tmp_path: Path) -> Iterator[Example]:
    example = Example(tmp_path / "home")
    yield example
    example.end()


def said_until(process: "subprocess.Popen[str]", words: str) -> str:
    """Return what it says up to the line with these words in it."""
    assert process.stdout is not None
    said = ""
    for line in process.stdout:
        said += line
        if words in line:
            return said
    raise AssertionError(said)


def rest_after(process: "subprocess.Popen[str]", number: signal.Signals) -> str:
    """Send a signal and return what it still says."""
    process.send_signal(number)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    return said


def test_the_sweep_completes_and_says_how_to_look_around(example: Example) -> None:
    process = example.start()
    said = said_until(process, "stays up until Ctrl-C")
    rest_after(process, signal.SIGINT)

    assert re.search(r"Sweep \w{16} COMPLETED", said)
    assert "31 runs, 150 models trained" in said
    assert re.search(r"Best variant: .* mean_r2 0\.\d{4}", said)
    assert said.count("trackside describe") == 2
    for kind in ("Report", "Model"):
        found = re.search(rf"{kind}: (.+)", said)
        assert found is not None
        assert Path(found[1]).stat().st_size > 0
        assert Path(found[1]).is_relative_to(example.home / "sweep")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_in_the_middle_ends_all_but_the_runs(
    example: Example, number: signal.Signals
) -> None:
    process = example.start()
    said_until(process, " RUNNING")
    said = rest_after(process, number)

    assert "is under way" in said
    assert "trackside kill" in said
    assert detached.find_running(example.home) is None


def test_a_taken_port_is_one_line_that_names_the_setting(example: Example) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        process = example.start(f"127.0.0.1:{taken.getsockname()[1]}")
        said, _ = process.communicate()

    assert process.returncode == 78
    assert said.count("\n") == 1
    assert "TRACKSIDE_LISTEN" in said
