"""A published file as Python has files: to be read anywhere in it, over the network."""

import io
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from typing import Protocol

from typing_extensions import Buffer, override


class _Comes(Protocol):
    pieces: Iterator[bytes]


class RemoteFile(io.RawIOBase):
    """Reads on where it is, and begins anew where one seeks to. For one thread at a time."""

    def __init__(
        self,
        begin: "Callable[[int], AbstractContextManager[_Comes]]",
        size: int,
        name: str,
    ) -> None:
        """Read what `begin` gives from an offset on."""
        super().__init__()
        self.name = name
        self._begin = begin
        self._size = size
        self._offset = 0
        self._stack = ExitStack()
        self._pieces: Iterator[bytes] | None = None
        self._rest = memoryview(b"")

    @override
    def readable(self) -> bool:
        return True

    @override
    def seekable(self) -> bool:
        return True

    @override
    def tell(self) -> int:
        return self._offset

    @override
    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._offset, io.SEEK_END: self._size}[whence]
        target = base + offset
        if target < 0:
            message = f"negative seek position {target}"
            raise ValueError(message)
        if target != self._offset:
            self._let_go()
            self._offset = target
        return target

    @override
    def readinto(self, buffer: Buffer, /) -> int:
        into = memoryview(buffer).cast("B")
        if not self._rest and self._offset < self._size and len(into):
            self._rest = memoryview(self._next())
        count = min(len(into), len(self._rest))
        into[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        self._offset += count
        return count

    @override
    def close(self) -> None:
        if not self.closed:
            self._let_go()
        super().close()

    def _next(self) -> bytes:
        if self._pieces is None:
            self._pieces = self._stack.enter_context(self._begin(self._offset)).pieces
        return next(self._pieces, b"")

    def _let_go(self) -> None:
        self._pieces, self._rest = None, memoryview(b"")
        self._stack.close()
