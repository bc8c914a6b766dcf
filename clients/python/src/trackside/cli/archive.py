"""Where an export is written: a folder or a ZIP file that appears whole or not at all."""

import io
import os
import shutil
import time
import zipfile
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from typing_extensions import override

_ZIP = ".zip"


class Archive(Protocol):
    """Takes files, one after the other."""

    def write(self, name: str, lines: Iterable[str]) -> int:
        """Write a file from lines with their ends, read one by one; return how many there were."""
        ...


class _Folder(Archive):
    def __init__(self, path: Path) -> None:
        self._path = path

    @override
    def write(self, name: str, lines: Iterable[str]) -> int:
        # As they are: a line end of a value in CSV must not be changed.
        with (self._path / name).open("w", encoding="utf-8", newline="") as file:
            return _write(file, lines)


class _Zip(Archive):
    def __init__(self, path: Path, folder: str) -> None:
        self._zip = zipfile.ZipFile(path, "x")
        self._folder = folder

    @override
    def write(self, name: str, lines: Iterable[str]) -> int:
        entry = zipfile.ZipInfo(f"{self._folder}/{name}", time.localtime()[:6])
        entry.compress_type = zipfile.ZIP_DEFLATED
        with (
            self._zip.open(entry, "w", force_zip64=True) as member,
            io.TextIOWrapper(member, "utf-8", newline="") as file,
        ):
            return _write(file, lines)

    def close(self) -> None:
        self._zip.close()


def _write(file: io.TextIOBase, lines: Iterable[str]) -> int:
    count = 0
    for line in lines:
        file.write(line)
        count += 1
    return count


@contextmanager
def archive_at(path: Path) -> Generator[Archive]:
    """Write to `path`, a ZIP file if it is called so; what fails leaves nothing there.

    Raises:
        FileExistsError: There is something already.
        OSError: It cannot be written.
    """
    if os.path.lexists(path):
        message = f"{path} exists already"
        raise FileExistsError(message)
    unfinished = path.with_name(f".{path.name}.{os.urandom(4).hex()}")
    try:
        if path.suffix.lower() == _ZIP:
            archive = _Zip(unfinished, path.stem)
            try:
                yield archive
            finally:
                archive.close()
        else:
            unfinished.mkdir(mode=0o700)
            yield _Folder(unfinished)
        _give_name(unfinished, path)
    except BaseException:
        _remove(unfinished)
        raise


def _give_name(unfinished: Path, path: Path) -> None:
    """Let it appear under its name, unless somebody else has used that meanwhile.

    Raises:
        FileExistsError: Somebody has.
        OSError: It cannot be.
    """
    if unfinished.is_dir():
        unfinished.rename(path)  # which replaces nothing but an empty folder
        return
    try:
        path.hardlink_to(unfinished)  # which, other than a renaming, replaces nothing
    except FileExistsError:
        message = f"{path} exists already"
        raise FileExistsError(message) from None
    except OSError:  # a file system without
        unfinished.rename(path)
    else:
        unfinished.unlink()


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
