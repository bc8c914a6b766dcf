"""Runs `end_to_end/watcher.py` beside a test and reads what it wrote down."""

import json
import os
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import Final

from support.store_rows import Told

_SCRIPT: Final = Path(__file__).parent.parent / "end_to_end" / "watcher.py"


class PlainWatcher:
    """One watcher of one run, in a process of its own."""

    def __init__(self, folder: Path, run_id: str, token: str, *servers: str) -> None:
        self.run_id = run_id
        self._file = folder / f"{run_id}.jsonl"
        self._errors = folder / f"{run_id}.err"
        with self._errors.open("wb") as errors:
            self._process = subprocess.Popen(  # noqa: S603 - our own script
                [sys.executable, _SCRIPT, run_id, self._file, *servers],
                env={**os.environ, "TRACKSIDE_TOKEN": token, "GRPC_VERBOSITY": "NONE"},
                stdin=subprocess.DEVNULL,
                stderr=errors,
            )

    def line_count(self) -> int:
        """Return how many things it was told by now."""
        return self._file.read_bytes().count(b"\n") if self._file.exists() else 0

    def wait(self, timeout: float) -> None:
        """Return when all its watches have ended."""
        code = self._process.wait(timeout)
        assert code == 0, self._errors.read_text()

    def told(self) -> dict[str, Told]:
        """Return what it was told of each service, in the order in which it was."""
        told: dict[str, Told] = defaultdict(list)
        for line in self._file.read_text().splitlines():
            item = json.loads(line)
            told[item["service"]].append((item["sequence"], item["digest"]))
        return told

    def end(self) -> None:
        """End it, if it has not ended."""
        self._process.kill()
        self._process.wait()
