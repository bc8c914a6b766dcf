"""Lines that are expected to be seen in a stream, with what is known of each."""

from collections import deque
from typing import Generic, NamedTuple, TypeVar

Known = TypeVar("Known")


class _Expected(NamedTuple, Generic[Known]):
    number: int
    line: str
    known: Known


class ExpectedLines(Generic[Known]):
    """Expected by any thread, about in the order of the stream; met by one.

    When a line is met, those long before it are forgotten: they were never written. Of very many
    the oldest are forgotten.
    """

    def __init__(self, most: int, overtaken: int) -> None:
        """Know so many, and of those before one that is met so many.

        Threads that write at once are told in another order than they write, but nearly so.
        """
        self._most = most
        self._overtaken = overtaken
        self._coming = deque[tuple[str, Known]](maxlen=most)
        self._order = deque[_Expected[Known]]()
        self._by_line: dict[str, deque[_Expected[Known]]] = {}
        self._count = 0

    def expect(self, line: str, known: Known) -> None:
        """Expect this line behind those expected before."""
        self._coming.append((line, known))

    def meet(self, line: str) -> Known | None:
        """Return what is known of a line that was seen; None if it was not expected."""
        self._take_up()
        same = self._by_line.get(line)
        if same is None:
            return None
        met = same.popleft()
        if not same:
            del self._by_line[line]
        self._forget_before(met.number - self._overtaken)
        return met.known

    def _take_up(self) -> None:
        for _ in range(len(self._coming)):
            line, known = self._coming.popleft()
            expected = _Expected(self._count, line, known)
            self._count += 1
            self._order.append(expected)
            self._by_line.setdefault(line, deque()).append(expected)
        self._forget_before(self._count - self._most)

    def _forget_before(self, number: int) -> None:
        while self._order and self._order[0].number < number:
            oldest = self._order.popleft()
            same = self._by_line.get(oldest.line)
            if same is not None and same[0] is oldest:  # it was not met
                same.popleft()
                if not same:
                    del self._by_line[oldest.line]
