"""A whole Trackside in processes of its own: `trackside up` in a fresh home, and commands to it."""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Final

from support.command_line import Done
from support.eventually import eventually
from support.private_server import LOOPBACK, free_port
from trackside_agent import detached

TRACKSIDE: Final = str(Path(sys.executable).with_name("trackside"))
_LISTENS: Final = "listens at "


class WholeInstallation:
    """A server with its agent; knows how to run commands against them.

    Settings are variables for both.
    """

    def __init__(self, home: Path, **settings: str) -> None:
        self.home = home
        self._settings = settings
        self.address = f"{LOOPBACK}:{free_port()}"
        self.prefix: Sequence[str] = ()
        """What stands before the command that starts the server."""
        self._up: subprocess.Popen[str] | None = None
        self._commands: list[subprocess.Popen[str]] = []

    @property
    def environment(self) -> dict[str, str]:
        """What commands find the server by."""
        kept = {name: text for name, text in os.environ.items() if "TRACKSIDE" not in name}
        ours = {"TRACKSIDE_HOME": str(self.home), "TRACKSIDE_SERVER": self.address}
        return kept | self._settings | ours

    def start(self) -> None:
        """Start the server, always at the same address; returns when it listens."""
        command = [*self.prefix, TRACKSIDE, "up", "--listen", self.address]
        self._up = subprocess.Popen(  # noqa: S603 - our own program
            command, env=self.environment, stdout=subprocess.PIPE, text=True
        )
        assert self._up.stdout is not None
        for line in self._up.stdout:
            if _LISTENS in line:
                return
        message = f"the server ended with {self._reap()}"
        raise AssertionError(message)

    def kill(self) -> None:
        """Kill the server as a crash would; the agent stays."""
        assert self._up is not None
        self._up.kill()
        self._reap()

    def kill_agent(self) -> None:
        """Kill the agent as a crash would; the server stays.

        Another one may already be waiting to take its place, if it was started twice.
        """
        agent = eventually(lambda: detached.find_running(self.home))
        with suppress(ProcessLookupError):  # it has just ended by itself
            os.kill(agent, signal.SIGKILL)
        eventually(lambda: detached.find_running(self.home) != agent)

    def start_agent(self) -> None:
        """Start the agent, unless the server has started it already."""
        detached.start_detached(self.home, self.address)

    def stop(self) -> int:
        """End server and agent as Ctrl-C does, and return the exit code."""
        for command in self._commands:  # those that a failed test left behind
            with command:
                command.kill()
        assert self._up is not None
        self._up.send_signal(signal.SIGINT)
        return self._reap()

    def _reap(self) -> int:
        assert self._up is not None
        with self._up:  # closes the pipe too
            return self._up.wait()

    def open(self, *words: str) -> subprocess.Popen[str]:
        """Start a command and return it while it is running."""
        process = subprocess.Popen(  # noqa: S603 - our own program
            [TRACKSIDE, *words],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._commands.append(process)
        return process

    def command(self, *words: str) -> Done:
        """Run a command to its end."""
        return done(self.open(*words), words)


def done(process: subprocess.Popen[str], words: Sequence[str] = ()) -> Done:
    """Wait for a command to end and return what else it wrote."""
    assert process.stdout is not None
    assert process.stderr is not None
    with ThreadPoolExecutor(1) as reader:  # not `communicate`: lines may have been read before
        reading = reader.submit(process.stderr.read)
        out, err = process.stdout.read(), reading.result()
    with process:
        assert "Traceback" not in err, (words, err)
        return Done(process.wait(), out, err)
