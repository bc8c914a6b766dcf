"""Waiting for what is to become so."""

import asyncio
from collections.abc import Callable


async def until(condition: Callable[[], object]) -> None:
    """Return when a condition holds; the test's time limit says how long it may take."""
    while not condition():  # noqa: ASYNC110 - the condition may be anything, and needs no event
        await asyncio.sleep(0.001)
