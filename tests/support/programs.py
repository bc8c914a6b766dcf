"""Runs small Python programs that use the SDK, as a user would."""

import os
import subprocess
import sys
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


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
        return subprocess.Popen(  # noqa: S603 - the tests' own words
            [self.interpreter, "-c", textwrap.dedent(source), *arguments],
            cwd=self.home.parent,
            env=self.environment(**more),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        )

    def run(self, source: str, **more: str) -> Ended:
        """Run a program to its end."""
        process = self.start(source, **more)
        output, errors = process.communicate(timeout=60)
        return Ended(process.returncode, output, errors)


def is_running(process_id: int) -> bool:
    """Say whether a process lives, and was not only left unnoticed by its parent."""
    try:
        facts = Path(f"/proc/{process_id}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):  # which of them is up to the moment
        return False
    return facts.rpartition(")")[2].split()[0] != "Z"
