"""What a `with` statement opens and closes, sync and async alike."""

from abc import ABC, abstractmethod
from types import TracebackType
from typing import Generic, TypeVar

Given = TypeVar("Given")


class Block(ABC, Generic[Given]):
    """A context manager that keeps no exception from going on."""

    @abstractmethod
    def enter(self) -> Given:
        """Open it, and return what stands behind `as`."""

    @abstractmethod
    def leave(self, error: BaseException | None) -> None:
        """Close it; this exception leaves it."""

    def __enter__(self) -> Given:
        return self.enter()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.leave(error)

    async def __aenter__(self) -> Given:
        return self.enter()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.leave(error)
