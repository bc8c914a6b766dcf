"""Tasks, scopes and progress of whichever run the caller is in, for code that is handed no run."""

from collections.abc import AsyncIterable, Callable, Iterable, Mapping
from typing import Any, TypeVar, overload

from typing_extensions import override

from trackside.session.block import Block
from trackside.session.decorating import Arguments, Returned, decorated, name_of
from trackside.session.open_runs import open_runs
from trackside.session.place import present_run_id
from trackside.session.progress import Item, Progress
from trackside.session.run import Run, silent_run
from trackside.session.scopes import Scope
from trackside.session.tasks import Task

Opened = TypeVar("Opened", Task, Scope)


class Opening(Block[Opened]):
    """A task or scope to be opened, by `with`, `async with`, or each call of what it decorates.

    Only then is it looked which run the caller is in: that of the innermost open task or scope,
    else the one that was started last. Without an open run nothing is reported.
    """

    def __init__(self, name: str, open_in: Callable[[Run, str], Opened]) -> None:
        """Made by `task` and `scope`, not by users."""
        self._name = name
        self._open_in = open_in
        self._opened: list[Opened] = []

    def __call__(self, function: Callable[Arguments, Returned], /) -> Callable[Arguments, Returned]:
        """Return the function such that each call of it opens this."""
        name = self._name or name_of(function)
        return decorated(function, lambda: self._open_in(_run_around(), name))

    @override
    def enter(self) -> Opened:
        opened = self._open_in(_run_around(), self._name)
        self._opened.append(opened)
        return opened.enter()

    @override
    def leave(self, error: BaseException | None) -> None:
        self._opened.pop().leave(error)


@overload
def task(function: Callable[Arguments, Returned], /) -> Callable[Arguments, Returned]: ...


@overload
def task(
    name: str = "",
    *,
    process: str = "",
    context: Mapping[str, Any] | None = None,
    script: str = "",
    cached: bool = False,
) -> Opening[Task]: ...


def task(
    name: str | Callable[..., Any] = "",
    *,
    process: str = "",
    context: Mapping[str, Any] | None = None,
    script: str = "",
    cached: bool = False,
) -> Opening[Task] | Callable[..., Any]:
    """Return a task of the run that the caller is in: for `with`, or as a decorator.

    Example:
        ```python
        @trackside.task
        def preprocess(rows): ...


        @trackside.task(process="train")
        async def fit(model): ...


        with trackside.task("evaluate") as task:
            task.message("scoring")
        ```
    """

    def open_in(run: Run, named: str) -> Task:
        return run.task(named, process=process, context=context, script=script, cached=cached)

    if callable(name):
        return Opening("", open_in)(name)
    return Opening(name, open_in)


def scope(
    name: str = "",
    *,
    total: int | None = None,
    unit: str = "",
    message: str = "",
    context: Mapping[str, Any] | None = None,
) -> Opening[Scope]:
    """Return a counter of the run that the caller is in: for `with`, or as a decorator.

    Example:
        ```python
        with trackside.scope("epoch", total=2) as epoch:
            for _ in range(2):
                epoch.advance()
        ```
    """
    return Opening(
        name,
        lambda run, named: run.scope(
            named, total=total, unit=unit, message=message, context=context
        ),
    )


def progress(
    items: Iterable[Item] | AsyncIterable[Item],
    scope: str = "step",
    *,
    total: int | None = None,
    unit: str = "",
    context: Mapping[str, Any] | None = None,
) -> Progress[Item]:
    """Return the items, counted by a scope of the run that the caller is in; see `Run.progress`.

    Example:
        ```python
        for fold in trackside.progress(range(5), "fold"):
            ...
        ```
    """

    def open_scope(count: int | None) -> Scope:
        return _run_around().scope(scope, total=count, unit=unit, context=context)

    return Progress(items, total, open_scope)


def _run_around() -> Run:
    run_id = present_run_id()
    runs = [run for run in open_runs if isinstance(run, Run)]
    inside = [run for run in runs if run.run_id == run_id]
    return (inside or runs or [silent_run()])[-1]
