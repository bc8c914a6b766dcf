"""Runs command lines of `trackside` in this process."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Done:
    """How a command ended and what it wrote."""

    code: int
    out: str
    err: str


Command = Callable[..., Done]
"""Runs one command line, given its words."""
