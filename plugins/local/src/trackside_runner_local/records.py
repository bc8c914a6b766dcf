"""The small files by which runner and supervisor know of each other, in the run's folder.

    launch.json      what to start; by the runner, before the supervisor
    start.json       what was started, and who supervises it; made once and never again
    stdout, stderr   FIFOs: what the program writes and the supervisor has not read yet
    output           what the program wrote (see `frames`)
    held             a FIFO that nothing is written to: open as long as there is a supervisor
    control          a FIFO on which the supervisor takes orders, one a line: `kill`, `stop SECONDS`
    state.json       what one must know that goes on after a supervisor was killed
    usage.json       what its processes have used so far, renewed now and then
    stop.json        that it was told to end, and when; once, and after
    escalation.json  that it was not enough, and when the rest was killed
    exit.json        how it ended, or why it could not be started
    supervisor.log   what went wrong in the supervisor itself

A file appears whole or not at all, and is on the disk before anything follows from it; only
`usage.json` and `state.json` are not worth a wait for the disk.
"""

# ruff: noqa: PTH105, PTH108, PTH123 - a supervisor does without pathlib

import json
import os

LAUNCH, START, EXIT = "launch.json", "start.json", "exit.json"
USAGE, TOLD, ESCALATION = "usage.json", "stop.json", "escalation.json"
STATE = "state.json"
OUTPUT, CONTROL, LOG = "output", "control", "supervisor.log"
STDOUT, STDERR, HELD = "stdout", "stderr", "held"

KILL, STOP = b"kill", b"stop"

Record = dict[str, object]


def exists(folder: str, name: str) -> bool:
    """Return whether a file is there."""
    return os.access(f"{folder}/{name}", os.F_OK)


def write(folder: str, name: str, record: Record) -> None:
    """Write a file, or replace it. On the disk when this returns."""
    draft = _draft(folder, name, record)
    os.replace(draft, f"{folder}/{name}")
    _sync(folder)


def write_lightly(folder: str, name: str, record: Record) -> None:
    """Write a file, or replace it. On the disk sooner or later."""
    draft = _draft(folder, name, record, sync=False)
    os.replace(draft, f"{folder}/{name}")


def write_once(folder: str, name: str, record: Record) -> None:
    """Write a file that must not be there yet. On the disk when this returns.

    Raises:
        FileExistsError: It is there already; it is left as it is.
    """
    draft = _draft(folder, name, record)
    try:
        os.link(draft, f"{folder}/{name}")
    finally:
        os.unlink(draft)
    _sync(folder)


def read(folder: str, name: str) -> Record:
    """Return what a file says.

    Raises:
        FileNotFoundError: It is not there.
    """
    with open(f"{folder}/{name}", encoding="utf-8") as file:
        return json.load(file)


def read_if_there(folder: str, name: str) -> Record:
    """Return what a file says, nothing when it is not there."""
    try:
        return read(folder, name)
    except FileNotFoundError:
        return {}


def _draft(folder: str, name: str, record: Record, *, sync: bool = True) -> str:
    draft = f"{folder}/.{name}.{os.getpid()}"
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(descriptor, "w", encoding="utf-8") as file:
        json.dump(record, file)
        file.flush()
        if sync:
            os.fsync(descriptor)
    return draft


def _sync(folder: str) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
