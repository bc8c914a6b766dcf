from pathlib import Path

import pytest

from trackside.cli.environment_files import EnvironmentFileError, read_environment_file


def _read(folder: Path, contents: bytes) -> dict[str, str]:
    file = folder / "env"
    file.write_bytes(contents)
    return read_environment_file(str(file))


def test_variables_are_taken_as_they_stand(tmp_path: Path) -> None:
    contents = b'# a comment\n\nA=1\nB= two words \nC=\nD="q"=x\nA=2\n'

    assert _read(tmp_path, contents) == {"A": "2", "B": " two words ", "C": "", "D": '"q"=x'}


def test_line_ends_and_marks_of_other_systems_are_no_part_of_it(tmp_path: Path) -> None:
    assert _read(tmp_path, "\ufeffA=1\r\nB=ä\r\n".encode()) == {"A": "1", "B": "ä"}


@pytest.mark.parametrize(
    ("contents", "why"),
    [
        (b"A=1\nsecret", "line 2: there is no `=`; a line is KEY=VALUE"),
        (b"=1", "line 1: there is no key before the `=`"),
        (b"export A=secret", "line 1: the key 'export A' has blanks in or around it"),
        (b"A=1\n\nB=\0", "line 3: there is a NUL in it"),
        (b"A=1\nB=\xff", "line 2: it is not UTF-8"),
        (b"A=" + b"x" * 2 * 1024 * 1024, "it is larger than 2 MiB"),
    ],
)
def test_a_malformed_file_is_refused_with_the_place_and_no_value(
    contents: bytes, why: str, tmp_path: Path
) -> None:
    with pytest.raises(EnvironmentFileError) as refused:
        _read(tmp_path, contents)

    assert str(refused.value).endswith(why)
    assert "secret" not in str(refused.value)


def test_a_file_that_is_not_there_or_is_a_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentFileError, match=r"nowhere: no such file or directory"):
        read_environment_file(str(tmp_path / "nowhere"))
    with pytest.raises(EnvironmentFileError, match="is a directory"):
        read_environment_file(str(tmp_path))
