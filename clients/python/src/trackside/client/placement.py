"""Where the files of a run go below a folder: always below it, and never two to one place.

A path of an output is what a program said. An absolute one goes below the folder by its names;
`..` is a name like any other, written `_`. What differs only in upper and lower case, or in how
a letter is composed, is one name on many systems: the later one gets a number.
"""

import unicodedata
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Final

_NOWHERE: Final = {"", "."}
_ABOVE: Final = ".."


def placed(paths: Iterable[str]) -> Mapping[str, Path]:
    """Return a relative path for each of these, different from all others."""
    taken: set[str] = set()
    places: dict[str, Path] = {}
    for path in paths:
        place = _below(path)
        number = 1
        while _key(numbered := _numbered(place, number)) in taken:
            number += 1
        taken.add(_key(numbered))
        places[path] = Path(numbered)
    return places


def name_of(path: str) -> str:
    """Return the name alone that a path ends with, fit to be a file's."""
    return _below(path).name


def _below(path: str) -> PurePosixPath:
    names = [_name(name) for name in path.split("/") if name not in _NOWHERE]
    return PurePosixPath(*names or ["_"])


def _name(name: str) -> str:
    return "_" if name == _ABOVE else name.replace("\0", "_").replace("\\", "_")


def _numbered(place: PurePosixPath, number: int) -> PurePosixPath:
    if number == 1:
        return place
    return place.with_name(f"{place.stem} ({number}){place.suffix}")


def _key(place: PurePosixPath) -> str:
    return unicodedata.normalize("NFC", str(place)).casefold()
