import asyncio
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from support.eventually import eventually
from support.private_server import free_port
from trackside_agent import detached
from trackside_standalone import up as up_module

pytestmark = pytest.mark.end_to_end

TRACKSIDE: Final = str(Path(sys.executable).with_name("trackside"))


class Up:
    """`trackside up` in homes below a folder."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / "home"
        self.processes: list[subprocess.Popen[str]] = []

    def start(self, *words: str, **settings: str) -> subprocess.Popen[str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith("TRACKSIDE_")}
        process = subprocess.Popen(  # noqa: S603 - our own program
            [TRACKSIDE, "up", *words],
            env={**kept, "TRACKSIDE_HOME": str(self.home), **settings},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.processes.append(process)
        return process

    def end(self) -> None:
        for process in self.processes:
            with process:
                process.terminate()  # killed, it might leave an agent that is just coming
        detached.stop(self.home)


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Up]:
    up = Up(tmp_path)
    yield up
    up.end()


def lines_until(process: "subprocess.Popen[str]", word: str) -> list[str]:
    """Return what it says up to the line with a word in it."""
    assert process.stdout is not None
    lines: list[str] = []
    for line in process.stdout:
        lines.append(line)
        if word in line:
            return lines
    raise AssertionError(lines)


def address_in(lines: list[str]) -> str:
    found = re.fullmatch(r"Trackside listens at (\S+)\n", lines[0])
    assert found is not None
    return found[1]


def agent_in(lines: list[str]) -> int:
    found = re.search(r"agent +process (\d+)", lines[-1])
    assert found is not None
    return int(found[1])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_server_and_agent_cleanly(up: Up, number: signal.Signals) -> None:
    process = up.start("--listen", "127.0.0.1:0")
    agent = agent_in(lines_until(process, "agent "))
    assert detached.find_running(up.home) == agent

    process.send_signal(number)
    _, errors = process.communicate()

    assert (process.returncode, errors) == (0, "")
    eventually(lambda: detached.find_running(up.home) is None)  # a slow one is not waited for


def test_an_agent_that_does_not_end_holds_nobody_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    has_ended = threading.Event()
    monkeypatch.setattr(up_module, "AGENT_END_SECONDS", 0.01)

    def dismiss(_: Path) -> None:
        has_ended.wait()

    monkeypatch.setattr(up_module, "dismiss", dismiss)

    process = threading.Thread(target=asyncio.run, args=[up_module._alone(tmp_path)], daemon=True)
    process.start()
    process.join(60)
    is_held_up = process.is_alive()
    has_ended.set()

    assert not is_held_up


def test_it_says_where_it_listens_and_what_to_try(up: Up) -> None:
    lines = lines_until(up.start(TRACKSIDE_LISTEN="127.0.0.1:0"), "Ctrl-C")
    address, said = address_in(lines), "".join(lines)

    assert address.startswith("127.0.0.1:")
    assert str(up.home / "token") in said
    assert f"export TRACKSIDE_SERVER={address}" in said
    assert "trackside run" in said


def test_a_taken_port_is_one_line_that_names_the_setting(up: Up, tmp_path: Path) -> None:
    address = address_in(lines_until(up.start("--listen", "127.0.0.1:0"), "listens"))
    second = Up(tmp_path / "second")
    process = second.start(TRACKSIDE_LISTEN=address)
    _, errors = process.communicate()

    assert process.returncode == 78
    assert errors.count("\n") == 1
    assert address in errors
    assert "TRACKSIDE_LISTEN" in errors


def test_a_home_in_use_is_one_line_that_names_the_setting(up: Up) -> None:
    lines_until(up.start("--listen", "127.0.0.1:0"), "listens")

    process = up.start("--listen", "127.0.0.1:0")
    _, errors = process.communicate()

    assert process.returncode == 78
    assert errors.count("\n") == 1
    assert "TRACKSIDE_HOME" in errors


def test_a_wrong_setting_is_one_line_that_names_it(up: Up) -> None:
    process = up.start(TRACKSIDE_LEASE="soon")
    _, errors = process.communicate()

    assert process.returncode == 78
    assert errors.count("\n") == 1
    assert "TRACKSIDE_LEASE" in errors


def test_the_agent_of_a_server_that_was_killed_is_found_again(up: Up) -> None:
    address = f"127.0.0.1:{free_port()}"
    first = up.start("--listen", address)
    agent = agent_in(lines_until(first, "agent "))

    first.kill()
    first.wait()
    said = lines_until(up.start("--listen", address), "agent ")

    assert "found running" in said[-1]
    assert agent_in(said) == agent


def test_an_agent_that_dials_another_address_is_replaced(up: Up) -> None:
    first = up.start("--listen", f"127.0.0.1:{free_port()}")
    agent = agent_in(lines_until(first, "agent "))

    first.kill()
    first.wait()
    said = lines_until(up.start("--listen", f"127.0.0.1:{free_port()}"), "agent ")

    assert "started" in said[-1]
    assert agent_in(said) != agent


def test_a_run_outlives_server_and_agent(up: Up, tmp_path: Path) -> None:
    stop, ended = tmp_path / "stop", tmp_path / "ended"
    loop = f"while [ ! -e {stop} ]; do sleep 0.05; done; touch {ended}"
    process = up.start("--listen", "127.0.0.1:0")
    address = address_in(lines_until(process, "agent "))
    subprocess.run(  # noqa: S603 - our own program
        [TRACKSIDE, "run", "--detach", "--", "sh", "-c", f"touch {tmp_path}/began; {loop}"],
        env={**os.environ, "TRACKSIDE_HOME": str(up.home), "TRACKSIDE_SERVER": address},
        check=True,
        capture_output=True,
    )
    eventually((tmp_path / "began").exists)

    process.terminate()
    process.wait()
    stop.touch()

    eventually(ended.exists)
