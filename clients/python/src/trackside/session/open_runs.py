"""The runs that this program has open, and what ends them with it."""

import atexit
import contextlib
import os
import sys
import threading
from collections.abc import Iterator
from types import TracebackType
from typing import NoReturn, Protocol

from trackside.session.termination import Termination


class OpenRun(Protocol):
    """What must be done with a run when something happens to its process."""

    def end_with_program(self, error: BaseException | None) -> None:
        """End it: the program ends, because of this exception or of itself."""
        ...

    def before_fork(self) -> None:
        """A process is about to be forked off."""
        ...

    def after_fork_in_child(self) -> None:
        """This process is the new one."""
        ...


class OpenRuns:
    """Keeps the runs in order of opening; hooks into the program while there is one."""

    def __init__(self) -> None:
        self._changing = threading.RLock()
        self._runs: list[OpenRun] = []
        self._error: BaseException | None = None
        self._excepthook = sys.excepthook
        self._exit = sys.exit
        self._is_hooked = False
        self._termination = Termination()
        os.register_at_fork(before=self._before_fork, after_in_child=self._after_fork_in_child)

    def __iter__(self) -> Iterator[OpenRun]:
        return iter(self._runs)

    @property
    def newest(self) -> OpenRun | None:
        """The run that was opened last and is open."""
        return self._runs[-1] if self._runs else None

    def add(self, run: OpenRun) -> bool:
        """End this run with the program; say whether it is the only one that is open."""
        with self._changing:
            self._runs = [*self._runs, run]
            if not self._is_hooked:
                self._hook()
            return len(self._runs) == 1

    def host(self, run: OpenRun) -> None:
        """Know this run too, whose end is not for this program."""
        with self._changing:
            self._runs = [*self._runs, run]

    def discard(self, run: OpenRun) -> None:
        """This run ends."""
        with self._changing:
            self._runs = [each for each in self._runs if each is not run]

    def settle(self) -> None:
        """Leave the program as it was before, if no run is open in it."""
        with self._changing:
            if not self._runs and self._is_hooked:
                self._unhook()

    def _hook(self) -> None:
        self._is_hooked = True
        self._excepthook, sys.excepthook = sys.excepthook, self._see_exception
        # An exit code is seen nowhere else: `SystemExit` reaches no hook.
        self._exit, sys.exit = sys.exit, self._see_exit
        atexit.register(self._end_all)
        self._termination.install()

    def _unhook(self) -> None:
        self._is_hooked = False
        # Hooks that were set since are left alone; ours, below them, do nothing.
        if sys.excepthook == self._see_exception:
            sys.excepthook = self._excepthook
        if sys.exit == self._see_exit:
            sys.exit = self._exit
        atexit.unregister(self._end_all)
        self._termination.uninstall()

    def _see_exception(
        self,
        kind: type[BaseException],
        error: BaseException,
        trace: TracebackType | None,
    ) -> None:
        self._error = error
        self._excepthook(kind, error, trace)

    def _see_exit(self, status: object = None, /) -> NoReturn:
        self._error = SystemExit(status)
        raise self._error

    def _end_all(self) -> None:
        for run in reversed(self._runs):
            run.end_with_program(self._termination.error or self._error)
        if isinstance(self._error, KeyboardInterrupt):
            # A program that was interrupted ends by that signal, unless any module is run after
            # the interrupt; ending a run may import some. This makes Python remember it again.
            with contextlib.suppress(KeyboardInterrupt):
                exec("raise KeyboardInterrupt")  # noqa: S102 - only what is run so is remembered

    def _before_fork(self) -> None:
        for run in self._runs:
            run.before_fork()

    def _after_fork_in_child(self) -> None:
        self._changing = threading.RLock()  # another thread may have held the other one
        self._error = None
        self._termination.forget()
        for run in self._runs:
            run.after_fork_in_child()


open_runs: OpenRuns = OpenRuns()
"""Those of this program."""
