import hashlib
import os
import zlib
from pathlib import Path

import pytest

from trackside.session import files


def test_a_file_is_read_once_for_everything(tmp_path: Path) -> None:
    file = tmp_path / "numbers"
    file.write_bytes(b"0123456789" * 300_000)

    contents = files.contents_of(file)

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

    contents = files.contents_of(folder)

    assert contents.size_bytes == 1_000
    assert contents.compressed_bytes is not None
    assert 0 < contents.compressed_bytes < 100
    assert contents == files.contents_of(copy)
    assert contents.checksum != files.contents_of(other).checksum


def test_what_is_too_large_is_not_compressed_by_the_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "_MOST_COMPRESSED", 9)
    (tmp_path / "small").write_bytes(b"x" * 9)
    (tmp_path / "large").write_bytes(b"x" * 10)

    assert files.contents_of(tmp_path / "small").compressed_bytes is not None
    assert files.contents_of(tmp_path / "large").compressed_bytes is None
    assert files.contents_of(tmp_path).compressed_bytes is None


def test_an_output_is_named_from_where_the_run_works(tmp_path: Path) -> None:
    (tmp_path / "reports").mkdir()
    file = tmp_path / "reports" / "index.html"
    file.write_text("<p>")

    inside = files.output_of(file, tmp_path)
    outside = files.output_of(file, tmp_path / "elsewhere")

    assert (inside.path, outside.path) == (os.path.join("reports", "index.html"), str(file))  # noqa: PTH118 - as text
    assert (inside.location, inside.media_type, inside.exists) == (str(file), "text/html", True)


def test_devices_and_pipes_are_not_read(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)

    for path in (Path("/dev/zero"), pipe):
        assert not files.output_of(path, tmp_path).exists
        with pytest.raises(OSError, match="neither a file nor a folder"):
            files.contents_of(path)
