import os
from pathlib import Path

import pytest

from trackside.contents import contents_of
from trackside.session import files


def test_an_output_is_named_from_where_the_run_works(tmp_path: Path) -> None:
    (tmp_path / "reports").mkdir()
    file = tmp_path / "reports" / "index.html"
    file.write_text("<p>")

    inside = files.output_of(file, tmp_path)
    outside = files.output_of(file, tmp_path / "elsewhere")

    assert (inside.path, outside.path) == (os.path.join("reports", "index.html"), str(file))  # noqa: PTH118 - as text
    assert (inside.location, inside.media_type, inside.exists) == (str(file), "text/html", True)


def test_an_output_is_where_it_really_is(tmp_path: Path) -> None:
    (tmp_path / "step-3").mkdir()
    (tmp_path / "step-3" / "model").write_text("m")
    (tmp_path / "latest").symlink_to("step-3")
    (tmp_path / "best").symlink_to("latest/model")

    outputs = [
        files.output_of(tmp_path / name, tmp_path)
        for name in ("latest/model", "best", "latest", "step-3/../best")
    ]

    assert [output.path for output in outputs] == ["latest/model", "best", "latest", "best"]
    real = str((tmp_path / "step-3").resolve())
    assert [output.location for output in outputs] == [
        f"{real}/model",
        f"{real}/model",
        real,
        f"{real}/model",
    ]
    assert [output.size_bytes for output in outputs] == [1, 1, 1, 1]


def test_any_name_can_be_told(tmp_path: Path) -> None:
    for name in ("a\nb", "\x1b[2J", os.fsdecode(b"\xff")):
        (tmp_path / name).touch()

        output = files.output_of(tmp_path / name, tmp_path)

        assert output.path.isprintable()
        assert output.exists


def test_devices_and_pipes_are_not_read(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)

    for path in (Path("/dev/zero"), pipe):
        assert not files.output_of(path, tmp_path).exists
        with pytest.raises(OSError, match="neither a file nor a folder"):
            contents_of(path)
