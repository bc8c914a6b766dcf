"""The agent's folder in a Trackside home: who it is, what it holds, what it has held.

id            its persistent id
epoch         how often it was started: fences off what an earlier start may still say
origin        where it is, by which a copy of it is known
lock          locked by the agent while it runs; says which process that is
agent.log     what it has to say itself
runs/RUN/     what it holds (see `run_folder`)
ended/RUN     what it has held, so that a late second assignment launches nothing
deletions/ID  what it is to delete of the outputs of runs (see `deletion_folder`)
"""

import re
import secrets
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from trackside.spool.origin import facts_of, original_of
from trackside_agent import durable
from trackside_agent.deletion_folder import DeletionFolder
from trackside_agent.run_folder import RunFolder

REMEMBER_SECONDS: Final = 30 * 24 * 3600
ALPHABET: Final = "0123456789abcdefghjkmnpqrstvwxyz"
RUN_ID: Final = re.compile(f"[{ALPHABET}]{{16}}")


class AgentFolder:
    """The folder `HOME/agent`."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.path = home / "agent"
        self.lock = self.path / "lock"
        self.log = self.path / "agent.log"
        self._runs = self.path / "runs"
        self._ended = self.path / "ended"
        self._deletions = self.path / "deletions"

    def make(self) -> None:
        """Make the folder and those in it."""
        for folder in (self._runs, self._ended, self._deletions):
            durable.make_folder(folder)

    def leave_to_the_original(self) -> bool:
        """Forget identity and runs if they are another folder's; return whether it was so."""
        noted = self.path / "origin"
        is_copy = original_of(self.path, noted) is not None
        if is_copy:
            for name in ("id", "epoch"):
                (self.path / name).unlink(missing_ok=True)
            for folder in (self._runs, self._ended, self._deletions):
                shutil.rmtree(folder)
            self.make()
        facts = facts_of(self.path)
        if not noted.exists() or noted.read_bytes() != facts:
            durable.write(noted, facts)
        return is_copy

    def agent_id(self) -> str:
        """Return the agent's id, made at its first start."""
        path = self.path / "id"
        if not path.exists():
            made = "".join(secrets.choice(ALPHABET) for _ in range(16))
            durable.write(path, f"agent-{made}\n".encode())
        return path.read_text("ascii").strip()

    def raise_epoch(self) -> int:
        """Return the epoch of this start: one more than that of the start before."""
        path = self.path / "epoch"
        before = int(path.read_text("ascii")) if path.exists() else 0
        durable.write(path, f"{before + 1}\n".encode())
        return before + 1

    def run(self, run_id: str) -> RunFolder:
        """Return the folder of a run, which need not exist.

        Raises:
            ValueError: This is no run id, and could be a path to anywhere.
        """
        if not RUN_ID.fullmatch(run_id):
            message = f"{run_id!r} is no run id"
            raise ValueError(message)
        return RunFolder(self._runs / run_id)

    def runs(self) -> Iterator[RunFolder]:
        """Yield the folders of the runs that are held."""
        for path in sorted(self._runs.iterdir()):
            yield RunFolder(path)

    def deletion(self, request_id: str) -> DeletionFolder:
        """Return the folder of a deletion, which need not exist."""
        return DeletionFolder(self._deletions / request_id)

    def deletions(self) -> Iterator[DeletionFolder]:
        """Yield the folders of the deletions that are held."""
        for path in sorted(self._deletions.iterdir()):
            yield DeletionFolder(path)

    def has_ended(self, run_id: str) -> bool:
        """Return whether a run was held, and is delivered to its end."""
        return (self._ended / run_id).exists()

    def forget(self, run: RunFolder) -> None:
        """Drop the folder of a run of which everything is delivered, and remember that."""
        durable.write(self._ended / run.run_id, b"")
        run.remove()

    def hazard_of(self, path: str) -> str:
        """Return why nothing may be deleted below a path on our account; empty if it may be."""
        home, real = self.home.resolve(), Path(path).resolve()
        if home.is_relative_to(real) or real.is_relative_to(home):
            return "it is, holds or is in the folder of Trackside's data"
        return ""

    def prune(self) -> None:
        """Forget runs that ended so long ago that nobody assigns them any more."""
        for path in self._ended.iterdir():
            if path.stat().st_mtime < time.time() - REMEMBER_SECONDS:
                path.unlink()
