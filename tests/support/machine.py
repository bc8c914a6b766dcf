"""A machine that goes down and boots again, as the processes of one home see it."""

import contextlib
import os
import shutil
import signal
import subprocess
import uuid
from pathlib import Path
from typing import Final

import pytest

from support.eventually import eventually

_AS_ANOTHER_BOOT: Final = (
    "unshare",
    "--mount",
    "--propagation",
    "private",
    "sh",
    "-c",
    'mount --bind "$0" /proc/sys/kernel/random/boot_id && exec "$@"',
)


class Machine:
    """Knows all processes that were told a folder of this test, and where they put what passes."""

    def __init__(self, folder: Path) -> None:
        self.temporary = folder / "tmp"
        self.temporary.mkdir()
        self._mark = str(folder).encode()
        self._boot_id = folder / "boot_id"

    def go_down(self) -> None:
        """End all processes at once, without a word, and empty the temporary folder."""
        eventually(lambda: not self._kill_all())
        shutil.rmtree(self.temporary)
        self.temporary.mkdir()

    def boot(self) -> list[str]:
        """Return what starts a command such that it sees another boot; skips where none can."""
        self._boot_id.write_text(f"{uuid.uuid4()}\n")
        prefix = [*_AS_ANOTHER_BOOT, str(self._boot_id)]
        look = [*prefix, "cat", "/proc/sys/kernel/random/boot_id"]
        try:
            seen = subprocess.run(look, capture_output=True, text=True, check=False)  # noqa: S603
        except FileNotFoundError:
            pytest.skip("no other boot can be shown here: there is no program `unshare`")
        if seen.stdout != self._boot_id.read_text():
            pytest.skip(f"no other boot can be shown here: {seen.stderr.strip()}")
        return prefix

    def _kill_all(self) -> list[int]:
        living = [process_id for process_id in _others() if self._is_ours(process_id)]
        for process_id in living:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process_id, signal.SIGKILL)
        return living

    def _is_ours(self, process_id: int) -> bool:
        folder = Path("/proc", str(process_id))
        try:
            if (folder / "stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return False
            told = (folder / "environ").read_bytes() + (folder / "cmdline").read_bytes()
        except OSError:  # it has ended meanwhile
            return False
        return self._mark in told


def _others() -> list[int]:
    found = [int(entry.name) for entry in os.scandir("/proc") if entry.name.isdigit()]
    return [process_id for process_id in found if process_id != os.getpid()]
