"""Generator functions that do all their work in a scope or task, made of ordinary ones.

What goes through the items meanwhile is outside: only the generator's own steps are inside.
"""

import functools
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import AbstractContextManager
from typing import Any

from trackside.session.place import PlaceOfItsOwn

Begin = Callable[[], AbstractContextManager[object]]


def in_steps(function: Callable[..., Any], begin: Begin) -> Callable[..., Any]:
    """Return the generator function such that each generator opens what `begin` does."""

    @functools.wraps(function)
    def work(*args: object, **named: object) -> Generator[Any, Any, Any]:
        own, block, generator = PlaceOfItsOwn(), begin(), function(*args, **named)
        with own:
            block.__enter__()
        try:
            result = yield from _stepped(generator, own)
        except BaseException as error:
            with own:
                block.__exit__(type(error), error, error.__traceback__)
            raise
        with own:
            block.__exit__(None, None, None)
        return result

    return work


def in_async_steps(function: Callable[..., Any], begin: Begin) -> Callable[..., Any]:
    """Return the asynchronous generator function such that each generator opens that."""

    @functools.wraps(function)
    async def work(*args: object, **named: object) -> AsyncGenerator[Any, Any]:
        own, block, generator = PlaceOfItsOwn(), begin(), function(*args, **named)
        with own:
            block.__enter__()
        step = functools.partial(generator.asend, None)
        try:
            while True:
                try:
                    with own:
                        item = await step()
                except StopAsyncIteration:
                    break
                try:
                    step = functools.partial(generator.asend, (yield item))
                except GeneratorExit:
                    with own:
                        await generator.aclose()
                    raise
                except BaseException as thrown:  # noqa: BLE001 - for the generator, whatever it is
                    step = functools.partial(generator.athrow, thrown)
        except BaseException as error:
            with own:
                block.__exit__(type(error), error, error.__traceback__)
            raise
        with own:
            block.__exit__(None, None, None)

    return work


def _stepped(generator: Generator[Any, Any, Any], own: PlaceOfItsOwn) -> Generator[Any, Any, Any]:
    """Do what `yield from` does, each step in a place of its own."""
    step = functools.partial(generator.send, None)
    while True:
        try:
            with own:
                item = step()
        except StopIteration as end:
            return end.value
        try:
            step = functools.partial(generator.send, (yield item))
        except GeneratorExit:
            with own:
                generator.close()
            raise
        except BaseException as thrown:  # noqa: BLE001 - for the generator, whatever it is
            step = functools.partial(generator.throw, thrown)
