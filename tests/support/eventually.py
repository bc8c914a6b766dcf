"""Waiting, in tests of whole processes, for what is to become so."""

import time
from collections.abc import Callable
from typing import Final, TypeVar

T = TypeVar("T")
_LOOK_AGAIN_SECONDS: Final = 0.02


def eventually(found: Callable[[], T | None], *, within: float = 60.0) -> T:
    """Return what `found` returns as soon as it is true.

    Raises:
        AssertionError: It has not become true in time.
    """
    deadline = time.monotonic() + within
    while not (value := found()):
        assert time.monotonic() < deadline, f"not so within {within:g} s"
        time.sleep(_LOOK_AGAIN_SECONDS)
    return value
