"""The progress bar `tqdm`, which moves a scope of the run as well.

Example:
    ```python
    from trackside.integrations.tqdm import tqdm

    with trackside.start_run("train"):
        for fold in tqdm(range(5), desc="fold"):
            ...
    ```
"""

from collections.abc import Iterator
from importlib import import_module
from typing import TYPE_CHECKING, Any

from trackside.integrations.reporting import run_or_current

if TYPE_CHECKING:
    from trackside.session.scopes import Scope

_tqdm: Any = import_module("tqdm.auto")


class tqdm(_tqdm.tqdm):  # noqa: N801 # pyright: ignore[reportUntypedBaseClass] - not installed where types are checked
    """The bar as ever; its description, or `scope`, names the scope of the current run."""

    def __init__(self, *args: Any, scope: str = "", **named: Any) -> None:  # noqa: ANN401 - as tqdm has
        """Take what `tqdm` takes."""
        super().__init__(*args, **named)
        self._scope_name = scope or str(named.get("desc") or "step")
        self._is_gone_through = False
        self._scope: Scope | None = None

    def __iter__(self) -> Iterator[Any]:
        self._is_gone_through = True
        bar: Any = super()
        run = run_or_current(None)
        return iter(run.progress(bar.__iter__(), self._scope_name, total=self._whole_total()))

    def update(self, n: float | None = 1) -> bool | None:
        """Move the bar and the scope by `n`."""
        bar: Any = super()
        shown: bool | None = bar.update(n)
        if not self._is_gone_through:
            if self._scope is None:
                self._scope = run_or_current(None).scope(self._scope_name)
            count = self._scope.completed + int(n or 0)
            self._scope.update(completed=count, total=self._whole_total())
        return shown

    def close(self) -> None:
        """End the bar and the scope."""
        super().close()
        scope = getattr(self, "_scope", None)  # it may be closed before it was begun
        if scope is not None:
            scope.end()

    def _whole_total(self) -> int | None:
        total: float | None = self.total
        return None if total is None else int(total)
