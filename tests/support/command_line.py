"""Runs command lines of `trackside` in this process."""

import io
from collections.abc import Callable
from dataclasses import dataclass

from typing_extensions import override


@dataclass(frozen=True)
class Done:
    """How a command ended and what it wrote."""

    code: int
    out: str
    err: str


Command = Callable[..., Done]
"""Runs one command line, given its words."""


class Keyboard(io.StringIO):
    """Stands for stdin with a person before it, who types what is given."""

    @override
    def isatty(self) -> bool:
        return True
