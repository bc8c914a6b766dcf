"""Waits of a coroutine for what blocks, each in a thread of its own."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Generator, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from typing import TypeVar, cast

Result = TypeVar("Result")
Item = TypeVar("Item")


async def in_thread(
    work: Callable[[], Result], interrupt: Callable[[], None] = lambda: None
) -> Result:
    """Return what `work` returns. A cancelled wait calls `interrupt`, so that it ends soon."""
    with _one_thread() as executor:
        return await _submitted(executor, work, interrupt)


async def each_in_thread(
    begin: Callable[[], Iterator[Item]], interrupt: Callable[[], None] = lambda: None
) -> AsyncGenerator[Item]:
    """Yield what the iterator yields. Whoever goes no further should close this."""
    with _one_thread() as executor:
        end = object()
        try:
            items = await _submitted(executor, begin, interrupt)
            while True:
                item = await _submitted(executor, lambda: next(items, end), interrupt)
                if item is end:
                    return
                yield cast("Item", item)
        finally:
            interrupt()


async def _submitted(
    executor: Executor, work: Callable[[], Result], interrupt: Callable[[], None]
) -> Result:
    context = copy_context()
    future = executor.submit(context.run, work)
    try:
        return await asyncio.shield(asyncio.wrap_future(future))
    except asyncio.CancelledError:
        interrupt()
        raise


@contextmanager
def _one_thread() -> Generator[Executor]:
    """Lend a thread. The pool of `asyncio` would be used up by a handful of long waits."""
    executor = ThreadPoolExecutor(1, "trackside-wait")
    try:
        yield executor
    finally:
        executor.shutdown(wait=False)
