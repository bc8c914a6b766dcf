from pathlib import Path

import pytest

from trackside.cli.archive import archive_at


def write_while_somebody_else_does(place: Path) -> None:
    with archive_at(place) as archive:
        archive.write("a.csv", ["ours\n"])
        place.write_text("theirs")


@pytest.mark.parametrize("name", ["run.zip", "run"])
def test_what_somebody_writes_there_meanwhile_stays(name: str, tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"exists already|not empty|a directory"):
        write_while_somebody_else_does(tmp_path / name)

    assert (tmp_path / name).read_text() == "theirs"
    assert [path.name for path in tmp_path.iterdir()] == [name]
