"""The progress bars of `rich`, which move scopes of the run as well.

Example:
    ```python
    from trackside.integrations.rich import Progress

    with trackside.start_run("train"), Progress() as progress:
        for fold in progress.track(range(5), description="fold"):
            ...
    ```
"""

from typing import TYPE_CHECKING, Any

from rich import progress
from typing_extensions import override

from trackside.integrations.reporting import run_or_current

if TYPE_CHECKING:
    from trackside.session.scopes import Scope


class Progress(progress.Progress):
    """The bars as ever; the description of each names a scope of the current run."""

    def __init__(self, *columns: Any, **named: Any) -> None:  # noqa: ANN401 - as rich has
        """Take what `rich.progress.Progress` takes."""
        self._scopes: dict[progress.TaskID, Scope] = {}
        super().__init__(*columns, **named)

    @override
    def add_task(self, description: str, *args: Any, **named: Any) -> progress.TaskID:
        task_id = super().add_task(description, *args, **named)
        self._scopes[task_id] = run_or_current(None).scope(description)
        self._follow(task_id)
        return task_id

    @override
    def update(self, task_id: progress.TaskID, **named: Any) -> None:
        super().update(task_id, **named)
        self._follow(task_id)

    @override
    def advance(self, task_id: progress.TaskID, advance: float = 1) -> None:
        super().advance(task_id, advance)
        self._follow(task_id)

    @override
    def reset(self, task_id: progress.TaskID, **named: Any) -> None:
        super().reset(task_id, **named)
        self._follow(task_id)

    @override
    def remove_task(self, task_id: progress.TaskID) -> None:
        super().remove_task(task_id)
        scope = self._scopes.pop(task_id, None)
        if scope is not None:
            scope.end()

    @override
    def stop(self) -> None:
        super().stop()
        for task_id, scope in list(self._scopes.items()):  # another thread may add a bar
            self._follow(task_id)  # a thread of rich moves bars up to the end
            scope.end()

    def _follow(self, task_id: progress.TaskID) -> None:
        scope = self._scopes.get(task_id)
        bar = next((bar for bar in self.tasks if bar.id == task_id), None)
        if scope is not None and bar is not None:
            total = None if bar.total is None else int(bar.total)
            scope.update(completed=int(bar.completed), total=total)
