from collections.abc import Iterator
from pathlib import Path

import pytest

from support.small_disk import small_disk
from trackside.spool.folder import Identity, SpoolFolder
from trackside.spool.frames import Frame, Service
from trackside.spool.reader import SpoolReader
from trackside.spool.writer import SpoolWriter

IDENTITY = Identity("run1", "sdk-a", server="here:1")


@pytest.fixture(name="disk")
def _disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path) as disk:
        yield disk


def test_what_follows_a_write_that_the_disk_took_in_part_is_found(disk: Path) -> None:
    folder = SpoolFolder.of(disk, IDENTITY)
    writer = SpoolWriter(folder, IDENTITY, substitute=lambda _: b"lost")
    filling = disk / "filling"
    filling.write_bytes(b"x" * (1 << 20))
    said = 0
    while writer.failure is None:
        writer.append([Frame(Service.LOGS, 0, b"y" * 300_000)])
        said += 1

    filling.unlink()
    for _ in range(2):
        writer.append([Frame(Service.LOGS, 0, b"z")])
    writer.close()

    reader, found = SpoolReader(folder, Service.LOGS), list[Frame]()
    while frames := reader.read():
        found += frames
    assert writer.failure is None
    assert [frame.sequence for frame in found] == list(range(1, said + 3))
    assert found[-1].payload == b"z"
