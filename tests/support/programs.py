"""Runs small Python programs that use the SDK, as a user would."""

import contextlib
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from support.eventually import eventually


@dataclass
class Ended:
    """How a program ended."""

    code: int
    output: str
    errors: str


@dataclass
class Programs:
    """Starts programs in one environment."""

    home: Path
    server: str
    token: str = "secret"  # noqa: S105 - that of the tests' own server
    """Empty: the programs find that of the home."""
    interpreter: str = sys.executable
    _started: list[subprocess.Popen[str]] = field(default_factory=list["subprocess.Popen[str]"])

    def environment(self, **more: str) -> dict[str, str]:
        """Return what a program gets to see."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith("TRACKSIDE_")}
        ours = {
            "TRACKSIDE_HOME": str(self.home),
            "TRACKSIDE_SERVER": self.server,
            "TRACKSIDE_TOKEN": self.token,
        }
        return {**kept, **ours, **more}

    def start(
        self, source: str, *, arguments: Sequence[str] = (), **more: str
    ) -> subprocess.Popen[str]:
        """Start a program."""
        process = subprocess.Popen(  # noqa: S603 - the tests' own words
            [self.interpreter, "-c", textwrap.dedent(source), *arguments],
            cwd=self.home.parent,
            env=self.environment(**more),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        )
        self._started.append(process)
        return process

    def run(self, source: str, **more: str) -> Ended:
        """Run a program to its end."""
        process = self.start(source, **more)
        output, errors = process.communicate(timeout=60)
        return Ended(process.returncode, output, errors)

    def end(self) -> None:
        """Kill what still runs, as after a test that failed amid it."""
        for process in self._started:
            process.kill()  # nothing happens to one that has ended
            process.wait()
            for pipe in (process.stdin, process.stdout, process.stderr):
                if pipe is not None:
                    with contextlib.suppress(BrokenPipeError):
                        pipe.close()


def is_running(process_id: int) -> bool:
    """Say whether a process lives, and was not only left unnoticed by its parent."""
    return _state_of(process_id) not in ("", "Z")


def pause(process_id: int) -> None:
    """Stop a process, and return when it has: a call that it is in may still come to its end."""
    os.kill(process_id, signal.SIGSTOP)
    eventually(lambda: _state_of(process_id) == "T")


def _state_of(process_id: int) -> str:
    try:
        facts = Path(f"/proc/{process_id}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):  # the latter if it goes while it is read
        return ""
    return facts.rpartition(")")[2].split()[0]
