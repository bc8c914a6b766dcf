"""A shell with a person at its terminal, who types when it is their turn."""

import codecs
import fcntl
import os
import pty
import select
import shutil
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

INTERRUPT: Final = "\x03"
_MARK: Final = "\x1e"
"""Stands before each prompt, so that no output is taken for one."""
_PROMPTING: Final = {"PROMPT_COMMAND": rf"printf '\x{ord(_MARK):x}'", "PS1": "$ "}
_COLUMNS: Final = 400
_PATIENCE_SECONDS: Final = 90.0


class TerminalShell:
    """A bash on a pseudo-terminal that can do nothing but write lines."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        """Start it in a folder."""
        self._ours, theirs = pty.openpty()
        self.resize(lines=50, columns=_COLUMNS)
        # With these, which test runners set, programs would not see that the size changes.
        fixed = {"COLUMNS", "LINES"}
        of_a_person = {name: text for name, text in environment.items() if name not in fixed}
        setsid, bash = shutil.which("setsid"), shutil.which("bash")
        assert setsid
        assert bash
        self._process = subprocess.Popen(  # noqa: S603 - our own words
            [setsid, "--ctty", bash, "--norc", "--noprofile", "-i"],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            cwd=folder,
            env={**of_a_person, "TERM": "dumb", "HISTFILE": "", **_PROMPTING},
        )
        os.close(theirs)
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self.written = ""
        """What the terminal shows since the last command was typed, with what is typed."""
        self.answered = 0
        """How much of that had been shown when something was typed last."""

    def resize(self, *, lines: int, columns: int) -> None:
        """Make the terminal larger or smaller."""
        fcntl.ioctl(self._ours, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def is_prompting(self) -> bool:
        """Return whether the shell waits for a command."""
        return self.written.endswith(_MARK + _PROMPTING["PS1"])

    def begin(self, text: str) -> None:
        """Type the first of a command, where the shell waits for one."""
        self.wait_until(self.is_prompting)
        self.written = ""
        self.type(text)

    def type(self, text: str) -> None:
        """Type something more."""
        self.answered = len(self.written)
        os.write(self._ours, text.encode())

    def wait_until(self, condition: Callable[[], bool]) -> None:
        """Read what the shell writes until the condition holds.

        Raises:
            AssertionError: It does not come to hold.
        """
        held = self.comes_to(condition, within=_PATIENCE_SECONDS)
        assert held, f"still waiting after {_PATIENCE_SECONDS:g} s:\n{self.written}"

    def comes_to(self, condition: Callable[[], bool], *, within: float) -> bool:
        """Read what the shell writes until the condition holds; return whether it does in time."""
        deadline = time.monotonic() + within
        while not condition():
            left = max(0.0, deadline - time.monotonic())
            ready, _, _ = select.select([self._ours], [], [], left)
            if not ready:
                return False
            text = self._decoder.decode(os.read(self._ours, 1 << 16))  # may end within a letter
            self.written = (self.written + text).replace("\r\n", "\n")
        return True

    def finished(self) -> str:
        """Wait for the next prompt and return what was written before it."""
        self.wait_until(self.is_prompting)
        return self.written.removesuffix(_MARK + _PROMPTING["PS1"])

    def close(self) -> None:
        """Hang up."""
        self._process.kill()
        self._process.wait()
        os.close(self._ours)
