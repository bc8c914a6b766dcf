from pathlib import Path

import pytest

from trackside.client.errors import InvalidRequestError
from trackside.client.orders import work_directory_of


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.mark.parametrize(
    ("wanted", "place"), [("", "here"), ("data", "here/data"), ("../data", "here/../data")]
)
def test_folders_are_named_from_here(here: Path, wanted: str, place: str) -> None:
    assert work_directory_of(wanted) == f"{here.parent}/{place}"


def test_a_whole_path_is_taken_as_it_is(here: Path) -> None:
    assert work_directory_of("/srv/data") == "/srv/data"
    here.rmdir()
    assert work_directory_of("/srv/data") == "/srv/data"


@pytest.mark.parametrize("wanted", ["", "data"])
def test_in_a_folder_that_is_gone_only_a_whole_path_can_be_meant(here: Path, wanted: str) -> None:
    here.rmdir()

    with pytest.raises(InvalidRequestError, match="does not exist any more"):
        work_directory_of(wanted)
