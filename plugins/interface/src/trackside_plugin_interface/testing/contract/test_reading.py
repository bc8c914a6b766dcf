"""How a runner reads what runs have published."""

# ruff: noqa: D103 - tests: their names say what they are about

import asyncio
from collections.abc import Mapping
from pathlib import Path

import pytest

from trackside_plugin_interface.errors import (
    FileGoneError,
    FileNotRegularError,
    ReadingUnsupportedError,
)
from trackside_plugin_interface.files import OpenedFile, OpenedFolder, OutputPlace
from trackside_plugin_interface.testing import programs
from trackside_plugin_interface.testing.host import Host, Hosts, Specs
from trackside_plugin_interface.testing.programs import python


@pytest.fixture(name="published")
def _published(hosts: Hosts, specs: Specs, tmp_path: Path) -> Path:
    """Return the folder in which a run that has ended has written its files."""
    folder = tmp_path / "published"
    asyncio.run(hosts().run(specs(python(programs.PUBLISHES, folder))))
    return folder


def test_published_file_is_read_from_anywhere_in_it(hosts: Hosts, published: Path) -> None:
    contents = b"0123456789" * 30_000

    async def read(offset: int, limit: int) -> bytes:
        host = hosts()  # another than the one that ran it
        file = await _opened(host, published / "file")
        assert isinstance(file, OpenedFile)
        assert file.size_bytes == len(contents)
        try:
            return await host.within(file.read(offset, limit))
        finally:
            await host.within(file.close())
            await host.within(file.close())

    for offset, limit in ((0, 262_144), (123_457, 1), (len(contents) - 3, 3)):
        piece = asyncio.run(read(offset, limit))
        assert piece
        assert piece == contents[offset : offset + limit][: len(piece)]


def test_published_folder_tells_its_files_and_no_links(hosts: Hosts, published: Path) -> None:
    async def listed() -> Mapping[str, int]:
        host = hosts()
        folder = await _opened(host, published / "folder")
        assert isinstance(folder, OpenedFolder)
        found: dict[str, int] = {}
        while files := await host.within(folder.next_files(1)):
            found |= {file.path: file.size_bytes for file in files}
        assert folder.skipped_count == 1
        await host.within(folder.close())
        return found

    assert asyncio.run(listed()) == {"a": 300_000, "deep/b\n": 300_000}


def test_file_of_a_published_folder_is_read(hosts: Hosts, published: Path) -> None:
    async def read() -> bytes:
        host = hosts()
        file = await _opened(host, published / "folder", "deep/b\n")
        assert isinstance(file, OpenedFile)
        try:
            return await host.within(file.read(5, 10))
        finally:
            await host.within(file.close())

    assert asyncio.run(read()) == b"5678901234"


@pytest.mark.parametrize(
    ("location", "member"),
    [
        ("link", ""),
        ("pipe", ""),
        ("folders", ""),
        ("folders/a", ""),
        ("folder", "link"),
        ("folder/../secret", ""),
        ("folder", "../secret"),
    ],
)
def test_links_and_pipes_are_refused_and_nothing_waits(
    hosts: Hosts, published: Path, location: str, member: str
) -> None:
    with pytest.raises(FileNotRegularError):
        asyncio.run(_opened(hosts(), f"{published}/{location}", member))


@pytest.mark.parametrize(("location", "member"), [("gone", ""), ("folder", "gone")])
def test_file_that_is_gone_is_said_to_be_gone(
    hosts: Hosts, published: Path, location: str, member: str
) -> None:
    with pytest.raises(FileGoneError):
        asyncio.run(_opened(hosts(), published / location, member))


async def _opened(host: Host, location: Path | str, member: str = "") -> OpenedFile | OpenedFolder:
    place = OutputPlace(run_id="0" * 16, location=str(location), member=member)
    try:
        return await host.within(host.runner.open_output(place))
    except ReadingUnsupportedError:
        pytest.skip("the runner reads no files")
