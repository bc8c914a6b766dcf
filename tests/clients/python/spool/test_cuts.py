from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trackside.spool.folder import Identity, SpoolFolder
from trackside.spool.frames import SERVICES, Frame
from trackside.spool.reader import SpoolReader
from trackside.spool.writer import Limits, SpoolWriter

IDENTITY = Identity("run1", "sdk-a", server="here:1")
BATCHES = st.lists(
    st.builds(
        Frame,
        service=st.sampled_from(SERVICES),
        sequence=st.just(0),
        payload=st.binary(max_size=100),
        note=st.binary(max_size=9),
    ),
    min_size=1,
    max_size=20,
)


def read_all(folder: SpoolFolder) -> dict[int, list[Frame]]:
    found: dict[int, list[Frame]] = {}
    for service in SERVICES:
        reader, found[service] = SpoolReader(folder, service), []
        while frames := reader.read():
            found[service] += frames
    return found


@pytest.mark.exhaustive
@settings(max_examples=200)
@given(BATCHES, st.integers(min_value=0))
def test_of_a_spool_that_is_cut_anywhere_all_before_the_cut_is_read(
    batches: list[Frame], place: int
) -> None:
    with TemporaryDirectory() as home:
        folder = SpoolFolder.of(Path(home), IDENTITY)
        writer = SpoolWriter(
            folder, IDENTITY, substitute=lambda _: b"lost", limits=Limits(segment=300)
        )
        for batch in batches:
            writer.append([batch])
        whole, last = read_all(folder), folder.segment(folder.segments()[-1])
        size = place % (last.stat().st_size + 1)
        had_others = len(folder.segments()) > 1

        with last.open("r+b") as file:
            file.truncate(size)
        found = read_all(folder)

        for service in SERVICES:
            assert found[service] == whole[service][: len(found[service])]
        assert folder.identity() == IDENTITY or not had_others
        newest = folder.newest()
        assert newest is not None or not had_others
