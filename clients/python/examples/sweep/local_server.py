"""A server for the example: `trackside up` as a child process of its own process group."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Final, Self

_READY: Final = "Trackside listens at "
_END_SECONDS: Final = 9.5


class ServerNotStartedError(Exception):
    """The server ended before it listened; it has said why on standard error."""

    def __init__(self, exit_code: int) -> None:
        super().__init__()
        self.exit_code = exit_code


class LocalServer:
    """`trackside up`, until `end`. Signals for our own process group do not reach it.

    Attributes:
        address: Where it listens, known after `wait_until_ready`.
    """

    def __init__(self) -> None:
        self.address = ""
        self._process = subprocess.Popen(  # noqa: S603 - our own command
            [Path(sys.executable).with_name("trackside"), "up"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
            process_group=0,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def wait_until_ready(self) -> None:
        """Return when it answers calls.

        Raises:
            ServerNotStartedError: It has ended instead.
        """
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith(_READY):
                self.address = line.removeprefix(_READY).strip()
                break
        else:
            raise ServerNotStartedError(self._process.wait() or 1)
        # It may say more, which we have said ourselves; a full pipe would make it wait.
        threading.Thread(target=self._process.stdout.read, daemon=True).start()

    def wait_until_ended(self) -> int:
        """Return its exit code when it ends by itself."""
        return self._process.wait()

    def end(self) -> None:
        """End it and its agent; runs go on. Harmless when it has ended."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(_END_SECONDS)
            except subprocess.TimeoutExpired:
                os.killpg(self._process.pid, signal.SIGKILL)
                self._process.wait()
