"""Where a run comes from: command line, machine, environment, packages, the code's repository."""

import contextlib
import os
import platform
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Final

from trackside.capture.masking import masked_environment, masked_source
from trackside.session.values import printable
from trackside_protos.runs.v1.provenance_pb2 import Machine, Provenance, Source

_GIT_SECONDS: Final = 5.0
"""For all answers together."""

_DIFF: Final = ("--no-color", "--no-ext-diff", "--no-textconv")
_LONGEST_CHANGES: Final = 256 << 10
_LONGEST_ANSWER: Final = 1 << 20
_LONGEST_VALUE: Final = 4 << 10
_LONGEST_NAME: Final = 256
_MOST_VARIABLES: Final = 1_000
_MOST_PACKAGES: Final = 10_000
_INSTALLED: Final = re.compile(
    r"(?P<name>[^-]{1,256})-(?P<version>[^-]{1,256})(-py[\d.]+)?\.(dist|egg)-info"
)
_CREDENTIALS: Final = re.compile(r"(?<=://)[^/@]+@")
_REPOSITORY: Final = ".git"


def runtime() -> str:
    """Return the language and its version."""
    return f"python {platform.python_version()}"


def command_line() -> list[str]:
    """Return the command line by which this program was started, as far as Python knows it."""
    return [*(sys.orig_argv or [sys.executable, *sys.argv])]


def surroundings() -> Provenance:
    """Return what is known at once, without waiting for anything."""
    return Provenance(
        command=command_line(),
        work_directory=_work_directory(),
        output_directory=_work_directory(),
        machine=Machine(
            host=socket.gethostname(),
            platform=f"{platform.system()} {platform.release()}",
            cpu_count=_cpu_count(),
            memory_bytes=_memory(),
            runtime=runtime(),
            process_id=os.getpid(),
        ),
    )


def environment() -> dict[str, str]:
    """Return the environment of this program, its secrets masked."""
    masked = islice(masked_environment(os.environ).items(), _MOST_VARIABLES)
    return {
        printable(name): printable(value)[:_LONGEST_VALUE]
        for name, value in masked
        if 0 < len(name) <= _LONGEST_NAME
    }


def packages() -> dict[str, str]:
    """Return the installed packages and their versions, by the names of their folders.

    That reads one listing for each folder of the path; to ask `importlib.metadata` would open
    every package.
    """
    found: dict[str, str] = {}
    for folder in sys.path:
        with contextlib.suppress(OSError), os.scandir(folder or ".") as entries:
            for entry in entries:
                named = _INSTALLED.fullmatch(entry.name)
                if named and len(found) < _MOST_PACKAGES:
                    name = printable(named["name"].lower().replace("_", "-"))
                    found.setdefault(name, printable(named["version"]))
    return found


def source(mask: Callable[[str], str]) -> Source | None:
    """Ask git for the code of this program; None where there is none. May take seconds.

    `mask` is applied to the changes that are not committed.
    """
    script = Path(sys.argv[0]).absolute() if sys.argv and sys.argv[0] else None
    folder = script.parent if script is not None and script.is_file() else Path(_work_directory())
    if shutil.which("git") is None or not _is_in_repository(folder):
        return None
    git = _Git(folder)
    root = git.ask("rev-parse", "--show-toplevel")
    if not root:
        return None
    path = ""
    if script is not None and script.is_file() and script.is_relative_to(root):
        path = str(script.relative_to(root))
    commit = git.ask("rev-parse", "HEAD")
    remote = git.ask("remote", "get-url", "origin")
    is_dirty = bool(git.ask("status", "--porcelain", "--untracked-files=no"))
    changes = git.ask("diff", *_DIFF, "HEAD" if commit else "--cached") if is_dirty else ""
    return Source(
        repository=printable(_CREDENTIALS.sub("", remote) or root),
        revision=printable(git.ask("symbolic-ref", "--short", "HEAD")),
        commit=commit,
        path=printable(path),
        dirty=is_dirty,
        changes=_beginning(mask(masked_source(changes))),
    )


class _Git:
    """Asks the user's git about one folder; an answer that fails or takes too long is empty."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._end = time.monotonic() + _GIT_SECONDS

    def ask(self, *words: str) -> str:
        """Return the beginning of what git says."""
        quiet = {"GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0"}
        with tempfile.TemporaryFile() as answer:  # a diff may be large
            try:
                done = subprocess.run(  # noqa: S603 - our own words
                    ["git", "-C", str(self._folder), *words],  # noqa: S607 - wherever it is
                    stdin=subprocess.DEVNULL,
                    stdout=answer,
                    stderr=subprocess.DEVNULL,
                    timeout=max(0.0, self._end - time.monotonic()),
                    check=False,
                    env={**os.environ, **quiet},
                )
            except (OSError, subprocess.SubprocessError):
                return ""
            answer.seek(0)
            said = answer.read(_LONGEST_ANSWER).decode(errors="replace").strip()
        return said if done.returncode == 0 else ""


def _beginning(changes: str) -> str:
    """Return as many whole lines of a diff as are kept."""
    encoded = printable(changes).encode()
    if len(encoded) <= _LONGEST_CHANGES:
        return encoded.decode()
    return encoded[:_LONGEST_CHANGES].decode(errors="ignore").rpartition("\n")[0]


def _is_in_repository(folder: Path) -> bool:
    return any((each / _REPOSITORY).exists() for each in (folder, *folder.parents))


def _work_directory() -> str:
    try:
        return str(Path.cwd())
    except OSError:  # it was removed
        return ""


def _cpu_count() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:
        return os.cpu_count() or 0


def _memory() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        return 0
