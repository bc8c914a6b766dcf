"""Real servers of the tests' own, each on a free loopback port and gone with the test run."""

import itertools
import os
import secrets
import shutil
import signal
import socket
import subprocess
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import pytest

LOOPBACK: Final = "127.0.0.1"
PORTS: Final = range(20_000, 32_000)
"""Below the ports that the system gives to clients, so that a port stays ours across a restart."""
START_SECONDS: Final = 60.0
_SHARES: Final = 16
"""Into how many shares the ports are split: workers that test side by side take none twice."""


class ServerStartError(Exception):
    """The server ended, or did not answer in time; carries the end of its log."""


class PrivateServer(ABC):
    """A server in a folder and on a port of its own.

    May be killed and started again, any number of times: the port and the folder stay.
    """

    stop_signal: signal.Signals = signal.SIGTERM

    def __init__(self, folder: Path, *, user: str | None = None) -> None:
        self.folder = folder
        self.port = free_port()
        self._user = user
        self._process: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def command(self) -> list[str]:
        """Return the command that runs the server in the foreground."""

    def environment(self) -> Mapping[str, str] | None:
        """Return the environment of the server; None: the tests' own."""
        return None

    @abstractmethod
    def is_ready(self) -> bool:
        """Return whether the server answers."""

    def start(self) -> None:
        """Start the server and return when it answers.

        Raises:
            ServerStartError: It did not come up.
        """
        self.launch()
        self.wait_until_ready()

    def launch(self) -> None:
        """Start the server; on the main thread, for the server ends with the thread."""
        assert threading.current_thread() is threading.main_thread()
        with (self.folder / "log").open("ab") as output:
            self._process = subprocess.Popen(  # noqa: S603 - the command is the tests' own
                dying_with_parent(self.command(), self.stop_signal),
                cwd=self.folder,
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                user=self._user,
                extra_groups=None if self._user is None else [],
            )

    def wait_until_ready(self) -> None:
        """Return when the launched server answers.

        Raises:
            ServerStartError: It did not come up.
        """
        assert self._process is not None
        deadline = time.monotonic() + START_SECONDS
        while not self.is_ready():
            if has_ended(self._process, within=0.02) or time.monotonic() > deadline:
                self.kill()
                raise ServerStartError((self.folder / "log").read_text()[-2000:])

    def ensure_running(self) -> None:
        """Start the server again if a test has left it ended."""
        if self._process is None or self._process.poll() is not None:
            self.start()

    def stop(self) -> None:
        """End the server in good order; harmless when it has ended."""
        self._end(self.stop_signal)

    def kill(self) -> None:
        """End the server as a crash would; harmless when it has ended."""
        self._end(signal.SIGKILL)

    def _end(self, with_signal: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(with_signal)
            self._process.wait()
            self._process = None


def free_port() -> int:
    """Return a loopback port that nobody listens on, and that was not given out lately."""
    return next(port for port in _ports if not _is_taken(port))


def _is_taken(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((LOOPBACK, port)) == 0


def _own_ports() -> Iterator[int]:
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    share = list(PORTS[worker % _SHARES :: _SHARES])
    secrets.SystemRandom().shuffle(share)
    return itertools.cycle(share)


_ports: Final = _own_ports()


def dying_with_parent(command: list[str], end_signal: signal.Signals) -> list[str]:
    """Return `command`, on Linux such that a killed test run leaves no server behind."""
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        return command
    return [setpriv, "--pdeathsig", end_signal.name.removeprefix("SIG"), "--", *command]


def has_ended(process: subprocess.Popen[Any], *, within: float) -> bool:
    """Return whether `process` ends within so many seconds."""
    try:
        process.wait(timeout=within)
    except subprocess.TimeoutExpired:
        return False
    return True


def require_installed(program: str, path: str | None) -> str:
    """Return `path`; without one skip the test, or fail it in CI, where nothing may be missing."""
    if path is not None:
        return path
    reason = f"{program} is not installed"
    if os.environ.get("CI") == "true":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)
