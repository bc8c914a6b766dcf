"""Where a run comes from: the command line, the machine, the code's repository."""

import os
import platform
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Final

from trackside_protos.runs.v1.provenance_pb2 import Machine, Provenance, Source

_GIT_SECONDS: Final = 2.0
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


def source() -> Source | None:
    """Ask git for the code of this program; None where there is none. May take seconds."""
    script = Path(sys.argv[0]).absolute() if sys.argv and sys.argv[0] else None
    folder = script.parent if script is not None and script.is_file() else Path(_work_directory())
    if shutil.which("git") is None or not _is_in_repository(folder):
        return None
    root = _git(folder, "rev-parse", "--show-toplevel")
    commit = _git(folder, "rev-parse", "HEAD")
    if not root:
        return None
    path = ""
    if script is not None and script.is_file() and script.is_relative_to(root):
        path = str(script.relative_to(root))
    remote = _git(folder, "remote", "get-url", "origin")
    return Source(
        repository=_CREDENTIALS.sub("", remote) or root,
        revision=_git(folder, "symbolic-ref", "--short", "HEAD"),
        commit=commit,
        path=path,
        dirty=bool(_git(folder, "status", "--porcelain", "--untracked-files=no")),
    )


def _is_in_repository(folder: Path) -> bool:
    return any((each / _REPOSITORY).exists() for each in (folder, *folder.parents))


def _git(folder: Path, *words: str) -> str:
    try:
        done = subprocess.run(  # noqa: S603 - our own words
            ["git", "-C", str(folder), *words],  # noqa: S607 - the user's git, wherever it is
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=_GIT_SECONDS,
            check=False,
            env={**os.environ, "GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0"},
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.decode(errors="replace").strip() if done.returncode == 0 else ""


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
