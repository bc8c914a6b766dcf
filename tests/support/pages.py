"""The programs that a page shows."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

ROOT: Final = Path(__file__).parents[2]
_PARTS: Final = re.compile(
    r"^#+ (?P<heading>[^\n]*)$|^```python\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL
)


class Example(NamedTuple):
    """A program, and the heading that it stands under."""

    heading: str
    code: str


def examples_of(page: str) -> list[Example]:
    """Return the programs of a page, by its path from the root."""
    return list(_examples((ROOT / page).read_text("utf-8")))


def _examples(text: str) -> Iterator[Example]:
    heading = ""
    for part in _PARTS.finditer(text):
        if part["code"] is None:
            heading = part["heading"]
        else:
            yield Example(heading, part["code"])
