"""Takes up what a program says through the standard `logging`."""

import contextlib
import logging
import os
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from typing_extensions import override

_STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_OURS: Final = ("trackside", "grpc")
_LEVELS: Final = ((logging.CRITICAL, 5), (logging.ERROR, 4), (logging.WARNING, 3))
_LOWER: Final = ((logging.INFO, 2), (logging.NOTSET, 1))


@dataclass(frozen=True, slots=True)
class LoggedRecord:
    """A record of `logging`, in the words of Trackside."""

    time_nanos: int
    level: int
    """The number of a `LogLevel`."""
    message: str
    context: dict[str, str]
    """What was given as `extra`."""
    logger: str


Take = Callable[[LoggedRecord], None]


Echo = Callable[[str, str], None]
"""Is told a standard stream, by name, and what a handler of the program wrote to it."""


class RecordHandler(logging.Handler):
    """Hands records on; their `extra` becomes context."""

    def __init__(
        self, take: Take, level: int = logging.NOTSET, *, echo: Echo | None = None
    ) -> None:
        super().__init__(level)
        self._take = take
        self._echo = echo
        self.setFormatter(logging.Formatter("%(message)s"))

    def tell_echoes(self, logger: logging.Logger, record: logging.LogRecord) -> None:
        """Tell what the program's own handlers wrote of a record, so that it is not taken twice."""
        if self._echo is None:
            return
        for handler in _handlers_of(logger) or [logging.lastResort]:
            stream = getattr(handler, "stream", None)
            name = "stdout" if stream is sys.stdout else "stderr" if stream is sys.stderr else ""
            if name and handler is not None and record.levelno >= handler.level:
                with contextlib.suppress(Exception):  # what it cannot format it does not write
                    self._echo(name, handler.format(record))

    @override
    def emit(self, record: logging.LogRecord) -> None:
        if record.name.partition(".")[0] in _OURS:
            return
        try:
            self._take(
                LoggedRecord(
                    time_nanos=int(record.created * 1e9),
                    level=level_of(record.levelno),
                    message=self.format(record),
                    context={
                        key: str(value)
                        for key, value in vars(record).items()
                        if key not in _STANDARD and not key.startswith("_")
                    },
                    logger=record.name,
                )
            )
        except Exception:  # noqa: BLE001 - as every handler: a bad record must not break the work
            self.handleError(record)


class LoggingTap:
    """Takes up every record of every logger that reaches the root, until `close`.

    Hooks into the loggers' own dispatch instead of adding a handler to the root: with one there,
    `logging.basicConfig` of the program would do nothing, and warnings of programs that configure
    no logging would not reach their standard error any more.
    """

    def __init__(self, take: Take, echo: Echo | None = None) -> None:
        self._handler = RecordHandler(take, echo=echo)
        _tapped.add(self._handler)

    def close(self) -> None:
        """Take up nothing more."""
        _tapped.discard(self._handler)


class _Tapped:
    """The handlers in use; records go to the newest."""

    def __init__(self) -> None:
        self.handlers: list[RecordHandler] = []
        self._lock = threading.Lock()
        self._original: Callable[[logging.Logger, logging.LogRecord], None] | None = None
        os.register_at_fork(after_in_child=self._renew_lock)

    def add(self, handler: RecordHandler) -> None:
        with self._lock:
            self.handlers = [*self.handlers, handler]
            if self._original is None:
                self._original = original = logging.Logger.callHandlers
                tapped = self

                def call_handlers(self: logging.Logger, record: logging.LogRecord) -> None:
                    newest = tapped.handlers[-1] if tapped.handlers else None
                    taken = newest is not None and _reaches_root(self)
                    if newest is not None and taken:
                        newest.tell_echoes(self, record)
                    original(self, record)
                    if newest is not None and taken:
                        newest.handle(record)

                logging.Logger.callHandlers = call_handlers

    def discard(self, handler: RecordHandler) -> None:
        with self._lock:
            self.handlers = [each for each in self.handlers if each is not handler]

    def _renew_lock(self) -> None:
        self._lock = threading.Lock()


_tapped: Final = _Tapped()


def level_of(number: int) -> int:
    """Return the `LogLevel` of a level of `logging`."""
    return next(level for least, level in (*_LEVELS, *_LOWER) if number >= least)


def _handlers_of(logger: logging.Logger | None) -> list[logging.Handler]:
    found: list[logging.Handler] = []
    while logger is not None:
        found += logger.handlers
        logger = logger.parent if logger.propagate else None
    return found


def _reaches_root(logger: logging.Logger | None) -> bool:
    while logger is not None:
        if not logger.propagate and logger.parent is not None:
            return False
        logger = logger.parent
    return True
