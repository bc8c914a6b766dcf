"""Items of a program that are counted by a scope while it goes through them."""

import operator
import sys
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator
from typing import Any, Generic, TypeVar, cast

from trackside.session.scopes import Scope

Item = TypeVar("Item")
OpenScope = Callable[[int | None], Scope]


class Progress(Generic[Item]):
    """An iterable, sync or async as the one that it was made of; each pass opens a scope.

    The scope counts what has been gone through. It ends with the last item, and as well when the
    loop is left before, by `break` or an exception: then it has counted what was done.
    """

    def __init__(
        self,
        items: Iterable[Item] | AsyncIterable[Item],
        total: int | None,
        open_scope: OpenScope,
    ) -> None:
        """Made by `Run.progress`, not by users."""
        self._items = items
        self._total = count_of(items) if total is None else total
        self._open_scope = open_scope
        self._scope: Scope | None = None

    def __iter__(self) -> Iterator[Item]:
        return _Pass(iter(cast("Iterable[Item]", self._items)), self._total, self._open)

    def __aiter__(self) -> AsyncIterator[Item]:
        items = cast("AsyncIterable[Item]", self._items)
        return _AsyncPass(aiter(items), self._total, self._open)

    def __len__(self) -> int:
        if self._total is None:
            raise TypeError("nobody knows how many items there are")
        return self._total

    def message(self, text: str) -> None:
        """Say what is done with the present item."""
        if self._scope is not None:
            self._scope.update(message=text)

    def _open(self, total: int | None) -> Scope:
        self._scope = self._open_scope(total)
        return self._scope


class _Counted:
    """One scope from the first item to the last, or to where the loop is left."""

    def __init__(self, total: int | None, open_scope: OpenScope) -> None:
        self._total = total
        self._open_scope = open_scope
        self._scope: Scope | None = None
        self._has_ended = False

    def go_on(self) -> None:
        """The item before is done, if there was one, and the next is wanted."""
        if self._scope is not None:
            self._scope.advance()
        elif not self._has_ended:
            self._scope = self._open_scope(self._total).enter()

    def end(self, error: BaseException | None = None) -> None:
        """There is no further item."""
        self._has_ended = True
        scope, self._scope = self._scope, None
        if scope is None:
            return
        if error is None and self._total is None:
            scope.update(total=scope.completed)
        scope.leave(error)

    def __del__(self) -> None:
        scope = getattr(self, "_scope", None)
        if scope is not None:
            # The frame is that of the loop that was left.
            scope.abandon(sys._getframe(1))  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]


class _Pass(_Counted, Iterator[Item]):
    def __init__(self, items: Iterator[Item], total: int | None, open_scope: OpenScope) -> None:
        super().__init__(total, open_scope)
        self._items = items

    def __next__(self) -> Item:
        self.go_on()
        try:
            return next(self._items)
        except StopIteration:
            self.end()
            raise
        except BaseException as error:
            self.end(error)
            raise


class _AsyncPass(_Counted, AsyncIterator[Item]):
    def __init__(
        self, items: AsyncIterator[Item], total: int | None, open_scope: OpenScope
    ) -> None:
        super().__init__(total, open_scope)
        self._items = items

    async def __anext__(self) -> Item:
        self.go_on()
        try:
            return await anext(self._items)
        except StopAsyncIteration:
            self.end()
            raise
        except BaseException as error:
            self.end(error)
            raise


def count_of(items: object) -> int | None:
    """Return how many items there are, if they say so, as progress bars do by `total`."""
    countable: Any = items
    try:
        return len(countable)
    except TypeError:
        total = getattr(countable, "total", None)
    if isinstance(total, int | float):
        return int(total)
    hint = operator.length_hint(items, -1)
    return hint if hint >= 0 else None
