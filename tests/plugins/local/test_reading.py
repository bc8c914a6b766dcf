"""Published files as the local runner opens them: what is there, and what is put in its place."""

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import pytest

from trackside_plugin_interface import (
    FileChangedError,
    FileGoneError,
    FileNotRegularError,
    FileUnreadableError,
    FolderFile,
    OpenedFile,
    OpenedFolder,
    OutputPlace,
)
from trackside_runner_local import opening
from trackside_runner_local.reading import DEEPEST, THREADS
from trackside_runner_local.runner import LocalRunner

T = TypeVar("T")
CONTENTS = "what nobody may read"


def run(work: Coroutine[Any, Any, T]) -> T:
    async def within() -> T:
        async with asyncio.timeout(90):
            return await work

    return asyncio.run(within())


def place(path: Path | str, member: str = "") -> OutputPlace:
    return OutputPlace(run_id="0" * 16, location=str(path), member=member)


async def opened(path: Path | str, member: str = "") -> OpenedFile:
    file = await LocalRunner(1).open_output(place(path, member))
    assert isinstance(file, OpenedFile)
    return file


async def contents(path: Path | str, member: str = "") -> bytes:
    file = await opened(path, member)
    read = b""
    while len(read) < file.size_bytes:
        read += await file.read(len(read), 4)
    await file.close()
    return read


async def listed(path: Path, limit: int = 100) -> tuple[list[FolderFile], int]:
    folder = await LocalRunner(1).open_output(place(path))
    assert isinstance(folder, OpenedFolder)
    files: list[FolderFile] = []
    while some := await folder.next_files(limit):
        assert len(some) <= limit
        files += some
    skipped = folder.skipped_count
    await folder.close()
    return sorted(files, key=lambda file: file.path), skipped


def descriptors(path: Path) -> int:
    """Return how many descriptors there are of a path, what is above it, and what is below it.

    Not of all files: threads that other tests have left may open and close theirs.
    """
    links: list[str] = []
    for link in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # that of the listing itself, at least
            links.append(os.readlink(link))  # noqa: PTH115 - as the system has it
    return sum(path.is_relative_to(link) or Path(link).is_relative_to(path) for link in links)


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "elsewhere" / "secret"
    path.parent.mkdir()
    path.write_text(CONTENTS)
    return path


@pytest.mark.parametrize("name", ["a", "a b", "ä", "a\nb", "\x1b[2J", "-rf", "%s", "$(x)", "a\\b"])
def test_a_file_is_read_whatever_its_name(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"0123456789")

    assert run(contents(tmp_path / name)) == b"0123456789"


def test_a_part_of_a_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"0123456789")

    async def part() -> bytes:
        file = await opened(tmp_path / "a")
        try:
            return await file.read(3, 4)
        finally:
            await file.close()

    assert run(part()) == b"3456"


def test_a_folder_tells_its_files_at_any_depth(tmp_path: Path, secret: Path) -> None:
    folder = tmp_path / "folder"
    (folder / "b" / "c").mkdir(parents=True)
    (folder / "a").write_bytes(b"1")
    (folder / "b" / "c" / "d\n").write_bytes(b"22")
    (folder / "file").symlink_to(secret)
    (folder / "up").symlink_to(secret.parent)
    os.mkfifo(folder / "pipe")
    (folder / os.fsdecode(b"\xff")).touch()

    files, skipped = run(listed(folder, 1))

    assert files == [FolderFile("a", 1), FolderFile("b/c/d\n", 2)]
    assert skipped == 4
    assert run(contents(folder, "b/c/d\n")) == b"22"


def test_a_file_that_goes_while_its_folder_is_listed_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("stays", "goes"):
        (tmp_path / name).touch()
    scan = os.scandir

    def scan_then_remove(folder: int) -> contextlib.nullcontext[list[os.DirEntry[str]]]:
        with scan(folder) as entries:
            found = list(entries)
        (tmp_path / "goes").unlink()
        return contextlib.nullcontext(found)

    monkeypatch.setattr(os, "scandir", scan_then_remove)

    assert run(listed(tmp_path)) == ([FolderFile("stays", 0)], 0)


def test_a_very_deep_folder_is_listed_to_a_depth(tmp_path: Path) -> None:
    here = tmp_path / "deep"
    for _ in range(DEEPEST + 2):
        here = here / "x"
    here.mkdir(parents=True)
    (here / "a").touch()
    (tmp_path / "deep" / "b").touch()

    files, skipped = run(listed(tmp_path / "deep"))

    assert [file.path for file in files] == ["b"]
    assert skipped == 1


def test_what_is_gone_is_said_to_be_gone(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    for gone in (tmp_path / "a", tmp_path / "b" / "a", tmp_path / "file" / "a"):
        with pytest.raises(FileGoneError):
            run(opened(gone))


def test_no_link_is_followed_anywhere(tmp_path: Path, secret: Path) -> None:
    (tmp_path / "link").symlink_to(secret)
    (tmp_path / "folder").symlink_to(secret.parent)
    (tmp_path / "self").symlink_to("self")
    (tmp_path / "relative").symlink_to("elsewhere/secret")

    for path in ("link", "folder/secret", "folder", "self", "relative"):
        with pytest.raises(FileNotRegularError, match="link"):
            run(opened(tmp_path / path))
    with pytest.raises(FileNotRegularError, match="link"):
        run(opened(tmp_path, "folder/secret"))


@pytest.mark.parametrize("kind", ["pipe", "socket", "device"])
def test_only_plain_files_are_read_and_nothing_waits(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "x"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(path))
    else:
        path = Path("/dev/zero")

    with pytest.raises(FileNotRegularError, match="device, a socket or a pipe"):
        run(opened(path))


def test_a_pipe_that_takes_the_files_place_meanwhile_holds_nothing_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x"
    path.touch()
    looked = os.stat

    def swapped(*arguments: Any, **more: Any) -> os.stat_result:
        found = looked(*arguments, **more)
        path.unlink()
        os.mkfifo(path)
        return found

    monkeypatch.setattr(os, "stat", swapped)

    with pytest.raises(FileNotRegularError):
        opening.open_place(str(path))


@pytest.mark.parametrize(
    ("location", "member"),
    [
        ("", ""),
        ("relative/a", ""),
        ("s3://bucket/a", ""),
        ("/", ""),
        ("{}/../elsewhere/secret", ""),
        ("{}/elsewhere/./secret", ""),
        ("{}/elsewhere", "../elsewhere/secret"),
        ("{}/elsewhere/secret\0", ""),
    ],
)
def test_a_path_that_is_no_plain_one_is_not_opened(
    tmp_path: Path, secret: Path, location: str, member: str
) -> None:
    assert secret.exists()

    with pytest.raises(FileUnreadableError):
        run(opened(location.format(tmp_path), member))


@pytest.mark.skipif(os.geteuid() != 0, reason="needs files of another user")
def test_a_further_name_of_another_users_file_is_not_read(tmp_path: Path, secret: Path) -> None:
    os.chown(secret, 65534, 65534)
    alone = run(contents(secret))
    (tmp_path / "mine").hardlink_to(secret)

    with pytest.raises(FileNotRegularError, match="several names"):
        run(opened(tmp_path / "mine"))

    assert alone == CONTENTS.encode()


def test_an_own_file_may_have_several_names(tmp_path: Path, secret: Path) -> None:
    (tmp_path / "copy").hardlink_to(secret)

    assert run(contents(tmp_path / "copy")) == CONTENTS.encode()


@pytest.mark.parametrize("change", ["shorter", "rewritten", "removed"])
def test_a_file_that_is_written_meanwhile_is_not_passed_on(tmp_path: Path, change: str) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"0123456789")

    async def read() -> bytes:
        file = await opened(path)
        try:
            first = await file.read(0, 5)
            if change == "shorter":
                os.truncate(path, 5)
            elif change == "rewritten":
                path.write_bytes(b"abcdefghij")
                os.utime(path, ns=(0, 0))
            else:
                path.unlink()
            return first + await file.read(5, 5)
        finally:
            await file.close()

    if change == "removed":  # who has opened it has it
        assert run(read()) == b"0123456789"
    else:
        with pytest.raises(FileChangedError):
            run(read())


def test_what_is_appended_meanwhile_does_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"0123456789")

    async def read() -> tuple[int, bytes]:
        file = await opened(path)
        with path.open("ab") as end:
            end.write(b"more")
        try:
            return file.size_bytes, await file.read(0, file.size_bytes)
        finally:
            await file.close()

    assert run(read()) == (10, b"0123456789")


def test_another_version_has_another_name(tmp_path: Path) -> None:
    path = tmp_path / "a"

    async def version(contents: bytes, time_ns: int) -> str:
        path.write_bytes(contents)
        os.utime(path, ns=(time_ns, time_ns))
        file = await opened(path)
        await file.close()
        return file.version

    first, same = run(version(b"abc", 1)), run(version(b"abc", 1))
    assert first == same
    assert first != run(version(b"abcd", 1))
    assert first != run(version(b"abd", 2))


def test_nothing_stays_open(tmp_path: Path, secret: Path) -> None:
    (tmp_path / "link").symlink_to(secret)
    (tmp_path / "folder" / "deep").mkdir(parents=True)
    (tmp_path / "folder" / "deep" / "a").touch()
    os.mkfifo(tmp_path / "pipe")

    async def all_of_it() -> int:
        runner = LocalRunner(1)
        await runner.open_output(place(secret))  # its threads and its first descriptors
        before = descriptors(tmp_path)
        for path in ("link", "pipe", "nothing"):
            with pytest.raises(FileUnreadableError):
                await runner.open_output(place(tmp_path / path))
        file = await runner.open_output(place(secret))
        await file.close()
        await file.close()
        folder = await runner.open_output(place(tmp_path / "folder"))
        assert isinstance(folder, OpenedFolder)
        await folder.next_files(1)
        await folder.close()
        return descriptors(tmp_path) - before

    assert run(all_of_it()) == 0


def test_what_was_given_up_all_at_once_is_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").write_text("a")
    answers, read = threading.Event(), os.pread

    def read_slowly(*arguments: Any) -> bytes:
        answers.wait()
        return read(*arguments)

    async def give_up() -> int:
        runner = LocalRunner(1)
        before = descriptors(tmp_path)
        files = [await runner.open_output(place(tmp_path / "a")) for _ in range(THREADS)]
        monkeypatch.setattr(os, "pread", read_slowly)
        reads = [asyncio.ensure_future(file.read(0, 1)) for file in files]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownArgumentType, reportUnknownMemberType, reportUnknownVariableType] - files
        await asyncio.wait(reads, timeout=0.01)
        for each in reads:
            each.cancel()
        closing = asyncio.gather(*(file.close() for file in files))
        answers.set()
        await closing
        return descriptors(tmp_path) - before

    assert run(give_up()) == 0


HANGS = """
import asyncio, os, sys, threading
from trackside_plugin_interface import EngineUnavailableError, OutputPlace
from trackside_runner_local import reading
from trackside_runner_local.runner import LocalRunner

async def main():
    runner = LocalRunner(1)
    place = OutputPlace(run_id="0" * 16, location=sys.argv[1])
    files = [await runner.open_output(place) for _ in range(reading.THREADS)]
    os.pread = lambda *_: threading.Event().wait()
    reads = [asyncio.ensure_future(file.read(0, 1)) for file in files]
    await asyncio.sleep(0)
    try:
        await runner.open_output(place)
    except EngineUnavailableError:
        print("refused", flush=True)
    await asyncio.wait(reads, timeout=0.1)
    for read in reads:
        read.cancel()

asyncio.run(main())
"""


def test_a_disk_that_hangs_holds_neither_others_nor_the_end_up(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("a")

    done = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-c", HANGS, str(tmp_path / "a")],
        capture_output=True,
        text=True,
        timeout=90,
        check=True,
    )

    assert done.stdout == "refused\n"
