"""A disk of its own that is soon full."""

import shutil
import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def small_disk(folder: Path) -> Generator[Path]:
    """Give a folder on a disk with room for two mebibytes, or skip the test."""
    if shutil.which("mount") is None:
        pytest.skip("no disk can be mounted here: there is no program `mount`")
    disk = folder / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(disk)]
    mounted = subprocess.run(  # noqa: S603 - our own words
        mount, capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"no disk can be mounted here: {mounted.stderr.strip()}")
    try:
        yield disk
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)  # noqa: S603, S607 - likewise


def make_read_only(disk: Path) -> None:
    """Let nothing be written on a disk any more."""
    remount = ["mount", "-o", "remount,ro", str(disk)]
    subprocess.run(remount, check=True)  # noqa: S603 - our own words


def fill(disk: Path) -> Path:
    """Leave no room on a disk, and return what to remove for there to be some again."""
    path = disk / "filler"
    with path.open("wb", buffering=0) as file:
        for size in (65536, 1024, 1):
            try:
                while file.write(b"x" * size) == size:
                    pass
            except OSError:
                continue
    return path
