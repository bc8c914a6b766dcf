from pathlib import Path, PurePosixPath

import pytest

from trackside.client.placement import name_of, placed


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("model.pt", "model.pt"),
        ("a/b/c", "a/b/c"),
        ("./a//b/", "a/b"),
        ("/etc/passwd", "etc/passwd"),
        ("//etc//passwd", "etc/passwd"),
        ("../../etc/passwd", "_/_/etc/passwd"),
        ("a/../../b", "a/_/_/b"),
        ("..", "_"),
        ("/", "_"),
        (".", "_"),
        ("a\0b", "a_b"),
        ("a\\..\\b", "a_.._b"),
        ("a\nb\x1b[2J", "a\nb\x1b[2J"),
        ("ä/日本", "ä/日本"),
        ("-rf", "-rf"),
    ],
)
def test_every_place_is_below_the_folder(path: str, place: str) -> None:
    assert placed([path]) == {path: Path(place)}
    assert name_of(path) == PurePosixPath(place).name
    folder = Path("/target")
    assert (folder / place).resolve().is_relative_to(folder)


def test_what_is_one_name_elsewhere_has_two_places() -> None:
    paths = ["A.txt", "a.txt", "\u00e5", "a\u030a", "x/a.txt", "/x/A.txt", "../c", "_/c", "a.txt/"]

    places = placed(paths)

    assert [str(place) for place in places.values()] == [
        "A.txt",
        "a (2).txt",
        "\u00e5",
        "a\u030a (2)",
        "x/a.txt",
        "x/A (2).txt",
        "_/c",
        "_/c (2)",
        "a (3).txt",
    ]
