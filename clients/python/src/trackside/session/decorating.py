"""Functions that do all their work in a scope or task, made of ordinary ones."""

import functools
import inspect
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, ParamSpec, TypeVar, cast

from trackside.session.generating import in_async_steps, in_steps

Arguments = ParamSpec("Arguments")
Returned = TypeVar("Returned")


def decorated(
    function: Callable[Arguments, Returned], begin: Callable[[], AbstractContextManager[object]]
) -> Callable[Arguments, Returned]:
    """Return the function such that each call of it happens in what `begin` opens.

    Of a generator function that is open from the first item to the last, or to its closing.
    """
    if inspect.isgeneratorfunction(function):
        return in_steps(function, begin)
    if inspect.isasyncgenfunction(function):
        return in_async_steps(function, begin)
    if inspect.iscoroutinefunction(function):
        awaited = cast("Callable[Arguments, Any]", function)

        @functools.wraps(function)
        async def work_later(*args: Arguments.args, **named: Arguments.kwargs) -> object:
            with begin():
                return await awaited(*args, **named)

        return cast("Callable[Arguments, Returned]", work_later)

    @functools.wraps(function)
    def work(*args: Arguments.args, **named: Arguments.kwargs) -> Returned:
        with begin():
            return function(*args, **named)

    return work


def name_of(function: Callable[..., object]) -> str:
    """Return what people call a function."""
    return getattr(function, "__name__", "") or type(function).__name__
