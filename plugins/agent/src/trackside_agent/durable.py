"""Small files that are on the disk, whole, before anything follows from them."""

import os
import shutil
from contextlib import suppress
from pathlib import Path


def write(path: Path, contents: bytes) -> None:
    """Write or replace a file, readable by its owner alone. On the disk when this returns."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(descriptor, "wb") as file:  # noqa: PTH123 - a descriptor, no path
        file.write(contents)
        file.flush()
        os.fsync(descriptor)
    draft.replace(path)
    _sync(path.parent)


def make_folder(path: Path) -> None:
    """Make a folder, and those above it. On the disk when this returns."""
    if not path.is_dir():
        make_folder(path.parent)
        path.mkdir(mode=0o700, exist_ok=True)
        _sync(path.parent)


def remove_folder(path: Path, proof: str) -> None:
    """Remove a folder with all that is in it, first the file without which the rest is nothing.

    So whoever is killed in the middle leaves behind what was never made to its end, and not what
    looks as if something was still to be done.
    """
    with suppress(OSError):
        (path / proof).unlink()
        _sync(path)
    shutil.rmtree(path, ignore_errors=True)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
