"""How a runner deletes what runs have published."""

# ruff: noqa: D103, PLR2004 - tests: their names say what they are about

import asyncio
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from trackside_plugin_interface.deletions import DoomedOutput, OutputDirectory
from trackside_plugin_interface.errors import (
    FileChangedError,
    FileGoneError,
    FileNotRegularError,
    FileOutsideError,
    FileUnreadableError,
    UnsafeDirectoryError,
)
from trackside_plugin_interface.testing import programs
from trackside_plugin_interface.testing.host import Hosts, Specs, as_stored
from trackside_plugin_interface.testing.programs import python


@pytest.fixture(name="deletable")
def _deletable(hosts: Hosts, specs: Specs, tmp_path: Path) -> OutputDirectory:
    """Return the directory of a run that has ended and has written its files there."""
    work = tmp_path / "work"
    work.mkdir()
    spec = specs(python(programs.PUBLISHES, work / "published"), folder=str(work))
    reports = asyncio.run(hosts().run(spec)).reports
    directories = [report for report in reports if isinstance(report, OutputDirectory)]
    if not directories:
        pytest.skip("the runner deletes nothing")
    return directories[-1]


def test_published_file_is_deleted_and_nothing_else(
    hosts: Hosts, deletable: OutputDirectory
) -> None:
    folder = Path(deletable.path, "published")
    before = sorted(folder.rglob("*"))

    assert asyncio.run(_deleted(hosts, _doomed(deletable, folder / "file"))) == 300_000

    assert [path for path in before if not os.path.lexists(path)] == [folder / "file"]


def test_published_folder_is_deleted_but_for_what_is_no_file(
    hosts: Hosts, deletable: OutputDirectory
) -> None:
    folder = Path(deletable.path, "published")
    doomed = replace(_doomed(deletable, folder / "folder"), size_bytes=600_000)

    assert asyncio.run(_deleted(hosts, doomed)) == 600_000

    assert [path.name for path in (folder / "folder").iterdir()] == ["link"]
    assert (folder / "secret").read_text() == "secret"


def test_what_is_deleted_already_is_gone_and_counts(
    hosts: Hosts, deletable: OutputDirectory
) -> None:
    doomed = _doomed(deletable, Path(deletable.path, "published", "file"))

    async def delete() -> int:
        examined = as_stored(await hosts().runner.examine_output(doomed))
        await hosts().runner.delete_output(doomed, examined)
        return await hosts().runner.delete_output(doomed, examined)

    assert asyncio.run(delete()) == 300_000
    with pytest.raises(FileGoneError):
        asyncio.run(hosts().runner.examine_output(doomed))


@pytest.mark.parametrize(
    ("location", "error"),
    [
        ("link", FileNotRegularError),
        ("pipe", FileNotRegularError),
        ("folders", FileNotRegularError),
        ("folders/a", FileNotRegularError),
        ("gone", FileGoneError),
        ("folder/../file", FileOutsideError),
        ("../../elsewhere", FileOutsideError),
        ("secret", FileChangedError),
    ],
)
def test_what_is_not_what_was_published_is_kept(
    hosts: Hosts, deletable: OutputDirectory, location: str, error: type[FileUnreadableError]
) -> None:
    folder = Path(deletable.path, "published")
    before = sorted(folder.rglob("*"))

    with pytest.raises(error):
        asyncio.run(_deleted(hosts, _doomed(deletable, f"{folder}/{location}")))

    assert sorted(folder.rglob("*")) == before


def test_in_another_directory_of_that_name_nothing_is_deleted(
    hosts: Hosts, deletable: OutputDirectory
) -> None:
    work = Path(deletable.path)
    shutil.copytree(
        work, work.with_name("copy"), symlinks=True, ignore=shutil.ignore_patterns("pipe")
    )
    work.rename(work.with_name("moved"))
    work.with_name("copy").rename(work)

    with pytest.raises(UnsafeDirectoryError):
        asyncio.run(_deleted(hosts, _doomed(deletable, work / "published" / "file")))

    assert (work / "published" / "file").exists()


def _doomed(directory: OutputDirectory, location: Path | str) -> DoomedOutput:
    return DoomedOutput(
        run_id="0" * 16,
        directory=directory,
        location=str(location),
        size_bytes=300_000,
        checksum="",
    )


async def _deleted(hosts: Hosts, doomed: DoomedOutput) -> int:
    host = hosts()  # another than the one that ran it
    examined = as_stored(await host.within(host.runner.examine_output(doomed)))
    return await host.within(hosts().runner.delete_output(doomed, examined))
