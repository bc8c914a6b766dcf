"""Turns a spec into what a supervisor starts, and refuses what cannot be started."""

import os
import shutil
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from trackside_plugin_interface import RunSpec, SpecRefusedError
from trackside_runner_local.directories import directory_record
from trackside_runner_local.records import Record

OURS: Final = "TRACKSIDE_"
"""How the names of our own variables begin: the agent's are none of a run's business."""

LONGEST_BYTES: Final = 32 * os.sysconf("SC_PAGE_SIZE")
"""Of one argument or variable, the zero byte behind it included."""


def launch_record(spec: RunSpec, environment: Mapping[str, str]) -> Record:
    """Return the launch record of a run.

    Args:
        spec: The run.
        environment: The agent's own environment, which the command inherits without our variables.

    Raises:
        SpecRefusedError: The command, its work directory or its environment cannot be used.
    """
    inherited = {name: value for name, value in environment.items() if not name.startswith(OURS)}
    complete = inherited | spec.program_environment()
    work_directory = _work_directory(spec.work_directory)
    _refuse_illegal(spec, complete)
    return {
        "run_id": spec.run_id,
        "command": list(spec.command),
        "program": _program(spec.command[0], work_directory, complete.get("PATH", os.defpath)),
        "work_directory": work_directory,
        "output_directory": directory_record(work_directory, spec.run_directory),
        "environment": complete,
        "time_limit_seconds": spec.time_limit_seconds,
        "memory_limit_bytes": spec.memory_limit_bytes,
    }


def _work_directory(wanted: str) -> str:
    """Return where to work: what is wanted, or the home folder of the user."""
    if not wanted:
        return str(Path.home())
    what = f"work directory {wanted!r}"
    path = Path(wanted)
    if not path.is_absolute():
        message = f"{what} is not absolute"
    elif not stat.S_ISDIR(_mode(what, path)):
        message = f"{what} is no directory"
    elif not os.access(path, os.X_OK):
        message = f"{what} may not be entered"
    else:
        return wanted
    raise SpecRefusedError(message)


def _mode(what: str, path: Path) -> int:
    """Return the type and permissions of a file.

    Raises:
        SpecRefusedError: It cannot be looked at.
    """
    try:
        return path.stat().st_mode
    except FileNotFoundError as error:
        message = f"{what} does not exist"
        raise SpecRefusedError(message) from error
    except OSError as error:
        message = f"{what} cannot be reached: {(error.strerror or str(error)).lower()}"
        raise SpecRefusedError(message) from error


def _refuse_illegal(spec: RunSpec, environment: Mapping[str, str]) -> None:
    if not spec.command or not spec.command[0]:
        message = "the command is empty"
        raise SpecRefusedError(message)
    if any("\0" in argument for argument in spec.command):
        message = "an argument of the command contains a NUL character"
        raise SpecRefusedError(message)
    for name, value in environment.items():
        if not name or "=" in name or "\0" in name or "\0" in value:
            message = f"environment variable {name!r} cannot be set: no `=` or NUL is allowed"
            raise SpecRefusedError(message)
        _refuse_longer(f"environment variable {name!r}", f"{name}={value}")
    for place, argument in enumerate(spec.command):
        _refuse_longer(f"argument {place} of the command", argument)


def _refuse_longer(what: str, text: str) -> None:
    size = len(text) if text.isascii() else len(os.fsencode(text))
    if size >= LONGEST_BYTES:
        message = f"{what} has {size:,} bytes: this system takes less than {LONGEST_BYTES:,}"
        raise SpecRefusedError(message)


def _program(name: str, work_directory: str, search_path: str) -> str:
    """Return the file to execute, found as a shell in the work directory would."""
    if "/" in name:
        return _executable(Path(work_directory, name))
    folders = [str(Path(work_directory, folder)) for folder in search_path.split(os.pathsep)]
    found = shutil.which(name, path=os.pathsep.join(folders))
    if found is None:
        message = f"command {name!r} was not found on PATH ({search_path})"
        raise SpecRefusedError(message)
    return found


def _executable(path: Path) -> str:
    what = f"command '{path}'"
    if stat.S_ISDIR(_mode(what, path)):
        message = f"{what} is a directory"
    elif not os.access(path, os.X_OK):
        message = f"{what} is not executable"
    else:
        return str(path)
    raise SpecRefusedError(message)
