"""Published files as the local runner deletes them, beside a tree that must stay as it is."""

import asyncio
import hashlib
import os
import shutil
import socket
import stat
import subprocess
import threading
from collections.abc import Coroutine, Generator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pytest

from trackside.contents import contents_of
from trackside_plugin_interface import (
    DoomedOutput,
    FileChangedError,
    FileGoneError,
    FileKeptError,
    FileNotRegularError,
    FileOutsideError,
    FileUnreadableError,
    OutputDirectory,
    RunnerError,
    UnsafeDirectoryError,
)
from trackside_runner_local import deleting
from trackside_runner_local.directories import directory_record, recorded_directory
from trackside_runner_local.runner import LocalRunner

T = TypeVar("T")
CONTENTS = b"0123456789"


def run(work: Coroutine[Any, Any, T]) -> T:
    async def within() -> T:
        async with asyncio.timeout(90):
            return await work

    return asyncio.run(within())


def record(work: Path, *, kept: Path = Path("/nowhere/run")) -> OutputDirectory:
    """Return what is recorded of a work directory when a run is launched."""
    directory = recorded_directory({"output_directory": directory_record(str(work), kept)})
    assert directory is not None
    return directory


def doomed(directory: OutputDirectory, path: Path | str, **fields: object) -> DoomedOutput:
    """Return an output as the SDK publishes what is there now, unless told otherwise."""
    values = {"size_bytes": 0, "checksum": ""}
    if (place := Path(path)).exists() and (place.is_file() or place.is_dir()):
        contents = contents_of(place)
        values = {"size_bytes": contents.size_bytes, "checksum": contents.checksum}
    return DoomedOutput(
        run_id="0" * 16,
        directory=directory,
        location=str(path),
        **{**values, **fields},  # pyright: ignore[reportArgumentType] - whatever a test gives
    )


async def deleted(output: DoomedOutput) -> int:
    runner = LocalRunner(1)
    examined = await runner.examine_output(output)
    return await runner.delete_output(output, examined)


def picture(folder: Path) -> dict[str, tuple[int, int, bytes]]:
    """Return all that is in a folder, with kinds, times and contents."""
    found: dict[str, tuple[int, int, bytes]] = {}
    for path in [folder, *folder.rglob("*")]:
        seen = path.lstat()
        contents = b""
        if stat.S_ISREG(seen.st_mode):
            contents = path.read_bytes()
        elif path.is_symlink():
            contents = os.fsencode(path.readlink())
        found[str(path)] = (seen.st_mode, seen.st_mtime_ns, contents)
    return found


@pytest.fixture
def work(tmp_path: Path) -> Path:
    folder = tmp_path / "work"
    folder.mkdir()
    return folder


@pytest.fixture(autouse=True)
def decoy(tmp_path: Path) -> Iterator[Path]:
    """Make a tree beside the work directory, of which nothing may change."""
    folder = tmp_path / "decoy"
    (folder / "deep").mkdir(parents=True)
    for name in ("model", "deep/model", ".hidden"):
        (folder / name).write_bytes(CONTENTS)
    (folder / "link").symlink_to("model")
    before = picture(folder)
    yield folder
    assert picture(folder) == before


@pytest.mark.parametrize("name", ["a", "a b", "ä", "a\nb", "\x1b[2J", "-rf", "*", "$(x)", "a\\b"])
def test_a_file_is_deleted_whatever_its_name(work: Path, name: str) -> None:
    (work / name).write_bytes(CONTENTS)
    (work / "other").write_bytes(CONTENTS)

    size = run(deleted(doomed(record(work), work / name)))

    assert size == len(CONTENTS)
    assert [path.name for path in work.iterdir()] == ["other"]


def test_folders_that_are_left_empty_go_but_not_the_directory(work: Path) -> None:
    for name in ("a/b/c/model", "a/kept/other", "d/e/plot"):
        (work / name).parent.mkdir(parents=True)
        (work / name).write_bytes(CONTENTS)
    directory = record(work)

    run(deleted(doomed(directory, work / "a/b/c/model")))
    run(deleted(doomed(directory, work / "d/e/plot")))

    assert sorted(str(path.relative_to(work)) for path in work.rglob("*")) == [
        "a",
        "a/kept",
        "a/kept/other",
    ]
    assert work.is_dir()


def test_a_published_folder_goes_with_its_files_and_empty_folders(work: Path) -> None:
    folder = work / "results"
    (folder / "deep" / "er").mkdir(parents=True)
    (folder / "empty").mkdir()
    for name in ("z", "a.b", "deep/x", "deep/er/y"):
        (folder / name).write_bytes(CONTENTS)

    size = run(deleted(doomed(record(work), folder)))

    assert size == 4 * len(CONTENTS)
    assert list(work.iterdir()) == []


def test_what_is_no_file_of_a_folder_is_left_with_the_folder(work: Path, decoy: Path) -> None:
    folder = work / "results"
    folder.mkdir()
    (folder / "model").write_bytes(CONTENTS)
    (folder / "link").symlink_to(decoy / "model")
    (folder / "folders").symlink_to(decoy)
    os.mkfifo(folder / "pipe")

    size = run(deleted(doomed(record(work), folder)))

    assert size == len(CONTENTS)
    assert sorted(path.name for path in folder.iterdir()) == ["folders", "link", "pipe"]


def test_what_has_other_contents_is_kept(work: Path) -> None:
    (work / "model").write_bytes(CONTENTS)
    output = doomed(record(work), work / "model")
    (work / "model").write_bytes(CONTENTS[::-1])

    with pytest.raises(FileChangedError, match="other contents"):
        run(deleted(output))

    assert (work / "model").exists()


def test_what_has_another_size_is_kept(work: Path) -> None:
    (work / "model").write_bytes(CONTENTS)

    with pytest.raises(FileChangedError, match="has 10 bytes, and had 9 when published"):
        run(deleted(doomed(record(work), work / "model", size_bytes=9, checksum="")))

    assert (work / "model").exists()


@pytest.mark.parametrize("change", ["more", "less", "renamed", "written"])
def test_a_folder_with_other_contents_is_kept(work: Path, change: str) -> None:
    folder = work / "results"
    folder.mkdir()
    for name in ("a", "b"):
        (folder / name).write_bytes(CONTENTS)
    output = doomed(record(work), folder)
    if change == "more":
        (folder / "c").write_bytes(b"")
    elif change == "less":
        (folder / "b").unlink()
    elif change == "renamed":
        (folder / "b").rename(folder / "c")
    else:
        (folder / "b").write_bytes(CONTENTS[::-1])
    before = picture(folder)

    with pytest.raises(FileChangedError):
        run(deleted(output))

    assert picture(folder) == before


@pytest.mark.parametrize("algorithm", ["md5", "sha1", "sha512", "blake2b"])
def test_other_checksums_are_compared_too(work: Path, algorithm: str) -> None:
    (work / "model").write_bytes(CONTENTS)
    digest = hashlib.new(algorithm, CONTENTS).hexdigest()

    run(deleted(doomed(record(work), work / "model", checksum=f"{algorithm}:{digest}")))

    assert not (work / "model").exists()


def test_what_cannot_be_compared_is_kept(work: Path) -> None:
    (work / "model").write_bytes(CONTENTS)

    with pytest.raises(FileKeptError, match="cannot be compared here: etag"):
        run(deleted(doomed(record(work), work / "model", checksum="etag:1")))

    assert (work / "model").exists()


def test_what_is_written_between_the_two_steps_is_kept(work: Path) -> None:
    (work / "results").mkdir()
    for name in ("a", "b", "c"):
        (work / "results" / name).write_bytes(CONTENTS)
    output = doomed(record(work), work / "results")

    async def delete() -> int:
        runner = LocalRunner(1)
        examined = await runner.examine_output(output)
        (work / "results" / "b").write_bytes(CONTENTS)
        (work / "results" / "new").write_bytes(CONTENTS)
        return await runner.delete_output(output, examined)

    with pytest.raises(FileChangedError, match="1 of 3 files were written since"):
        run(delete())

    assert sorted(path.name for path in (work / "results").iterdir()) == ["b", "new"]


@pytest.mark.parametrize("goes", ["a file", "everything"])
def test_what_goes_while_it_is_looked_at_does_not_count_as_gone_unless_all_of_it_is(
    work: Path, monkeypatch: pytest.MonkeyPatch, goes: str
) -> None:
    folder = work / "results"
    folder.mkdir()
    for name in ("a", "b"):
        (folder / name).write_bytes(CONTENTS)
    output = doomed(record(work), folder)
    listed = deleting._files_below

    def listed_then_gone(*arguments: Any) -> list[str]:
        found = list(listed(*arguments))
        if goes == "everything":
            shutil.rmtree(folder)
        else:
            (folder / "b").unlink()
        return found

    monkeypatch.setattr(deleting, "_files_below", listed_then_gone)

    with pytest.raises(FileGoneError if goes == "everything" else FileChangedError):
        run(deleted(output))


def test_another_folder_in_its_place_keeps_its_empty_folders(work: Path) -> None:
    (work / "results").mkdir()
    (work / "results" / "a").write_bytes(CONTENTS)
    output = doomed(record(work), work / "results")
    examined = run(LocalRunner(1).examine_output(output))
    (work / "results").rename(work / "moved")
    (work / "results" / "empty").mkdir(parents=True)

    run(LocalRunner(1).delete_output(output, examined))

    assert (work / "results" / "empty").is_dir()
    assert (work / "moved" / "a").read_bytes() == CONTENTS


def test_what_was_deleted_before_a_restart_counts(work: Path) -> None:
    (work / "deep" / "results").mkdir(parents=True)
    for name in ("a", "b"):
        (work / "deep" / "results" / name).write_bytes(CONTENTS)
    output = doomed(record(work), work / "deep" / "results")
    examined = run(LocalRunner(1).examine_output(output))
    (work / "deep" / "results" / "a").unlink()

    size = run(LocalRunner(1).delete_output(output, examined))
    again = run(LocalRunner(1).delete_output(output, examined))

    assert size == again == 2 * len(CONTENTS)
    assert list(work.iterdir()) == []


@pytest.mark.parametrize("name", ["gone", "gone/model", "model/below", "link/gone"])
def test_what_is_gone_is_said_to_be_gone(work: Path, decoy: Path, name: str) -> None:
    (work / "model").write_bytes(CONTENTS)
    expected: type[RunnerError] = FileGoneError
    if name.startswith("link"):
        (work / "link").symlink_to(decoy)
        expected = FileNotRegularError

    with pytest.raises(expected):
        run(deleted(doomed(record(work), work / name)))


def test_with_the_directory_everything_is_gone(work: Path) -> None:
    (work / "model").write_bytes(CONTENTS)
    output = doomed(record(work), work / "model")
    shutil.rmtree(work)

    with pytest.raises(FileGoneError):
        run(deleted(output))


def test_links_pipes_and_sockets_are_left_alone(work: Path, decoy: Path) -> None:
    directory = record(work)
    (work / "link").symlink_to(decoy / "model")
    (work / "folders").symlink_to(decoy)
    os.mkfifo(work / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.path.relpath(work / "socket"))
    before = picture(work)
    size = len(CONTENTS)

    for name in ("link", "folders", "folders/model", "folders/deep/model", "pipe", "socket"):
        with pytest.raises(FileNotRegularError):
            run(deleted(doomed(directory, work / name, size_bytes=size, checksum="")))

    assert picture(work) == before


def test_a_further_name_of_a_file_elsewhere_goes_alone(work: Path, decoy: Path) -> None:
    os.link(decoy / "model", work / "model")

    run(deleted(doomed(record(work), work / "model")))

    assert list(work.iterdir()) == []
    assert (decoy / "model").read_bytes() == CONTENTS


@pytest.mark.parametrize(
    "location",
    [
        "{decoy}/model",
        "{work}",
        "{work}/",
        "{work}/.",
        "{work}/../decoy/model",
        "{work}/a/../../decoy/model",
        "{work}-too/model",
        "model",
        "./model",
        "",
        "/",
        "/etc/passwd",
        "{work}/a\0b",
        "s3://bucket{work}/model",
    ],
)
def test_what_is_not_below_the_directory_is_kept(work: Path, decoy: Path, location: str) -> None:
    place = location.format(work=work, decoy=decoy)

    with pytest.raises(FileOutsideError):
        run(deleted(replace(doomed(record(work), work / "x"), location=place)))

    assert work.is_dir()


def test_another_directory_in_its_place_is_not_taken_for_it(work: Path) -> None:
    (work / "model").write_bytes(CONTENTS)
    output = doomed(record(work), work / "model")
    work.rename(work.with_name("moved"))
    shutil.copytree(work.with_name("moved"), work)

    with pytest.raises(UnsafeDirectoryError, match="another one than when the run was launched"):
        run(deleted(output))

    assert (work / "model").exists()


@pytest.mark.parametrize("above", [False, True])
def test_a_directory_that_is_reached_by_a_link_now_is_refused(
    tmp_path: Path, *, above: bool
) -> None:
    work = tmp_path / "above" / "work"
    work.mkdir(parents=True)
    (work / "model").write_bytes(CONTENTS)
    output = doomed(record(work), work / "model")
    moved = work.parent if above else work
    real = moved.rename(tmp_path / "real")
    moved.symlink_to(real)

    with pytest.raises(UnsafeDirectoryError, match="is a link now, or behind one"):
        run(deleted(output))

    assert (work / "model").exists()


def test_a_directory_that_is_given_by_a_link_is_recorded_as_it_really_is(
    work: Path, tmp_path: Path
) -> None:
    (work / "model").write_bytes(CONTENTS)
    (tmp_path / "short").symlink_to(work)

    directory = record(tmp_path / "short")
    run(deleted(doomed(directory, work / "model")))

    assert directory.path == str(work)
    assert not (work / "model").exists()


def test_in_some_directories_nothing_is_deleted(
    work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home" / "ann"))
    (tmp_path / "home" / "ann").mkdir(parents=True)
    (tmp_path / "cwd" / "agent").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "cwd" / "agent")
    (work / "repository").mkdir()
    subprocess.run(["git", "init", "-q", work / "repository"], check=True)  # noqa: S603, S607
    (work / "worktree").mkdir()
    (work / "worktree" / ".git").write_text("gitdir: elsewhere\n")

    hazards = {
        str(path): record(path).hazard
        for path in (
            Path("/"),
            Path("/usr"),
            tmp_path / "home" / "ann",
            tmp_path / "home",
            tmp_path / "cwd",
            tmp_path / "cwd" / "agent",
            work / "repository",
            work / "worktree",
        )
    }

    assert hazards == {
        "/": "it is at the top of the file system",
        "/usr": "it is at the top of the file system",
        str(tmp_path / "home" / "ann"): "it is or holds a user's home",
        str(tmp_path / "home"): "it is or holds a user's home",
        str(tmp_path / "cwd"): "it is or holds the agent's own directory",
        str(tmp_path / "cwd" / "agent"): "it is or holds the agent's own directory",
        str(work / "repository"): "it is the root of a git work tree",
        str(work / "worktree"): "it is the root of a git work tree",
    }
    assert record(work).hazard == ""
    assert record(work, kept=work / "runs" / "x").hazard == (
        "it is or holds what Trackside keeps of its runs"
    )


def test_who_has_no_home_may_delete(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", homeless)

    assert record(work).hazard == ""


def test_a_directory_that_has_become_unsafe_since_is_refused(work: Path) -> None:
    (work / "model").write_bytes(CONTENTS)
    output = doomed(record(work), work / "model")
    (work / ".git").mkdir()

    with pytest.raises(UnsafeDirectoryError, match="it is the root of a git work tree"):
        run(deleted(output))

    assert (work / "model").exists()


def test_a_directory_that_was_unsafe_stays_so(work: Path) -> None:
    (work / "model").write_bytes(CONTENTS)
    directory = replace(record(work), hazard="it is what somebody needs")

    with pytest.raises(UnsafeDirectoryError, match="it is what somebody needs"):
        run(deleted(doomed(directory, work / "model")))

    assert (work / "model").exists()


def test_what_may_not_be_deleted_is_kept(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (work / "model").write_bytes(CONTENTS)
    output = doomed(record(work), work / "model")

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "unlink", refuse)

    with pytest.raises(FileUnreadableError, match="does not let it be deleted"):
        run(deleted(output))

    assert (work / "model").exists()


@pytest.fixture
def bind(work: Path, decoy: Path) -> Iterator[Path]:
    """Mount the decoy below the work directory, where that is permitted."""
    place = work / "mounted"
    place.mkdir()
    mounted = subprocess.run(["mount", "--bind", decoy, place], capture_output=True, check=False)  # noqa: S603, S607
    if mounted.returncode:
        pytest.skip("nothing may be mounted here")
    yield place
    subprocess.run(["umount", place], check=True)  # noqa: S603, S607


def test_what_is_mounted_below_is_kept(work: Path, bind: Path) -> None:
    directory = record(work)

    with pytest.raises(FileOutsideError, match="on another disk"):
        run(deleted(doomed(directory, bind / "model")))
    with pytest.raises(FileOutsideError, match="on another disk"):
        run(deleted(doomed(directory, bind)))
    with pytest.raises(FileOutsideError, match="on another disk"):
        run(deleted(doomed(directory, bind / "deep")))

    assert (bind / "model").exists()


def test_a_mount_point_is_no_safe_directory(bind: Path) -> None:
    assert record(bind).hazard == "another disk is mounted there"


@contextmanager
def swapped(folder: Path, decoy: Path, aside: Path) -> Generator[None]:
    """Put a link to the decoy in a folder's place, and the folder back, again and again."""
    stopped = threading.Event()

    def swap() -> None:
        while not stopped.is_set():
            folder.rename(aside)
            folder.symlink_to(decoy)
            folder.unlink()
            aside.rename(folder)

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join()


def outcome(output: DoomedOutput) -> str:
    try:
        return str(run(deleted(output)))
    except RunnerError as error:
        return type(error).__name__


@pytest.mark.exhaustive
def test_a_folder_that_is_swapped_for_a_link_meanwhile_leads_nowhere(
    work: Path, decoy: Path, tmp_path: Path
) -> None:
    folder = work / "results"
    (folder / "deep").mkdir(parents=True)
    (folder / "never-published").write_bytes(CONTENTS)  # or the folder would be gone in the end
    names = ["model", "deep/model", *(f"deep/{number}" for number in range(300))]
    for name in names:
        (folder / name).write_bytes(CONTENTS)
    outputs = [doomed(record(work), folder / name) for name in names]

    with swapped(folder, decoy, tmp_path / "aside"):
        outcomes = {outcome(output) for output in outputs for _ in range(5)}

    assert "10" in outcomes
    assert outcomes <= {"10", "FileGoneError", "FileNotRegularError", "FileChangedError"}
