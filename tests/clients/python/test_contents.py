import hashlib
import os
import zlib
from pathlib import Path

import pytest

from trackside import contents
from trackside.contents import contents_of, files_below, size_of


def test_a_file_is_read_once_for_everything(tmp_path: Path) -> None:
    file = tmp_path / "numbers"
    file.write_bytes(b"0123456789" * 300_000)

    contents = contents_of(file)

    assert contents.size_bytes == 3_000_000
    assert contents.checksum == f"sha256:{hashlib.sha256(file.read_bytes()).hexdigest()}"
    assert contents.compressed_bytes is not None
    assert contents.compressed_bytes <= len(zlib.compress(file.read_bytes())) + 64


def test_a_folder_is_its_names_and_contents(tmp_path: Path) -> None:
    folder, copy, other = (tmp_path / name for name in ("folder", "copy", "other"))
    for each, name in ((folder, "a"), (copy, "a"), (other, "b")):
        (each / "deep").mkdir(parents=True)
        (each / "deep" / name).write_bytes(b"x" * 1_000)
        (each / "empty").touch()

    contents = contents_of(folder)

    assert contents.size_bytes == 1_000
    assert contents.compressed_bytes is not None
    assert 0 < contents.compressed_bytes < 100
    assert contents == contents_of(copy)
    assert contents.checksum != contents_of(other).checksum


def test_what_is_too_large_is_not_compressed_by_the_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contents, "_MOST_COMPRESSED", 9)
    (tmp_path / "small").write_bytes(b"x" * 9)
    (tmp_path / "large").write_bytes(b"x" * 10)

    assert contents_of(tmp_path / "small").compressed_bytes is not None
    assert contents_of(tmp_path / "large").compressed_bytes is None
    assert contents_of(tmp_path).compressed_bytes is None


def test_links_and_pipes_are_not_of_a_folder(tmp_path: Path) -> None:
    folder, plain = tmp_path / "folder", tmp_path / "plain"
    for each in (folder, plain):
        (each / "deep").mkdir(parents=True)
        (each / "deep" / "a").write_text("a")
    (tmp_path / "large").write_text("x" * 1_000)
    (folder / "link").symlink_to(tmp_path / "large")
    (folder / "up").symlink_to(tmp_path)
    (folder / "broken").symlink_to("nowhere")
    os.mkfifo(folder / "pipe")
    (folder / os.fsdecode(b"\xff")).touch()

    assert list(files_below(folder)) == ["deep/a"]
    assert size_of(folder) == 1
    assert contents_of(folder) == contents_of(plain)
