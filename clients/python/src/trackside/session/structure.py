"""What a run is made of while it goes on: scopes, tasks, and what is counted by a scope."""

from collections.abc import AsyncIterable, Callable, Iterable, Mapping
from typing import Any, overload

from trackside.session.decorating import Arguments, Returned
from trackside.session.failure import FailurePlace
from trackside.session.progress import Item, Progress
from trackside.session.recorder import Recorder
from trackside.session.reporter import Reporter
from trackside.session.scopes import Scope, new_scope
from trackside.session.speaker import Speaker
from trackside.session.tasks import Task
from trackside.session.values import one_line, printable, texts_of
from trackside_protos.runs.v1.task_pb2 import Task as TaskReport


class Structure(Speaker):
    """The face of a run by which its program opens counters and nodes in it."""

    def __init__(
        self, run_id: str, name: str, reporter: Reporter | None, recorder: Recorder
    ) -> None:
        """Begin with nothing open."""
        super().__init__(run_id, name, reporter, recorder)
        self._failures = FailurePlace()

    def scope(
        self,
        name: str,
        *,
        total: int | None = None,
        unit: str = "",
        message: str = "",
        context: Mapping[str, Any] | None = None,
    ) -> Scope:
        """Open a counter, inside the scope where the caller is; or decorate what opens it.

        Example:
            ```python
            with run.scope("fold", total=5) as fold:
                for _ in range(5):
                    fold.advance(message="Fitting")
            ```
        """
        report = new_scope(total, unit, message, context)
        return Scope(self._recorder, self._failures, self.run_id, name, report)

    @overload
    def task(self, function: Callable[Arguments, Returned], /) -> Callable[Arguments, Returned]: ...

    @overload
    def task(
        self,
        name: str = "",
        *,
        process: str = "",
        context: Mapping[str, Any] | None = None,
        script: str = "",
        cached: bool = False,
    ) -> Task: ...

    def task(
        self,
        name: str | Callable[..., Any] = "",
        *,
        process: str = "",
        context: Mapping[str, Any] | None = None,
        script: str = "",
        cached: bool = False,
    ) -> Task | Callable[..., Any]:
        """Begin the execution of a node, for `with`; or decorate what executes it.

        Args:
            name: What people call it.
            process: The named node that it belongs to; by default `name`.
            context: Further facts.
            script: What it executes.
            cached: Whether an earlier execution satisfies it, so that it ends CACHED.

        Example:
            ```python
            with run.task("scale inputs", process="preprocess") as task:
                task.message("reading")


            @run.task
            def fit(rows): ...
            ```
        """
        called = "" if callable(name) else one_line(name)
        report = TaskReport(
            name=called,
            process=one_line(process) or called,
            context=texts_of(context),
            script=printable(script),
        )
        task = Task(self._recorder, self._failures, self.run_id, report)
        if cached:
            task.cached()
        return task(name) if callable(name) else task

    def progress(
        self,
        items: Iterable[Item] | AsyncIterable[Item],
        scope: str = "step",
        *,
        total: int | None = None,
        unit: str = "",
        context: Mapping[str, Any] | None = None,
    ) -> Progress[Item]:
        """Return the items, counted by a scope while they are gone through.

        They may be a list, a generator, a progress bar, or asynchronous. The scope ends with the
        last of them, and when the loop is left before, with what was done by then.

        Example:
            ```python
            for fold in run.progress(range(5), scope="fold"):
                run.info("said in one of them")
            ```
        """
        return Progress(
            items,
            total,
            lambda count: self.scope(scope, total=count, unit=unit, context=context),
        )
