"""Reports the training of Keras models.

Example:
    ```python
    from trackside.integrations.keras import TracksideCallback

    with trackside.start_run("train"):
        model.fit(x, y, epochs=5, callbacks=[TracksideCallback()])
    ```
"""

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

from trackside.integrations.reporting import numbers_of, run_or_current
from trackside.session.run import Run

if TYPE_CHECKING:
    from trackside.session.scopes import Scope

_keras: Any = import_module("keras")


class TracksideCallback(_keras.callbacks.Callback):  # pyright: ignore[reportUntypedBaseClass] - not installed where types are checked
    """Logs what each epoch measured, and counts the epochs."""

    def __init__(self, run: Run | None = None, *, scope: str = "epoch") -> None:
        """Report to this run, else to the current one."""
        super().__init__()
        self._run = run
        self._scope_name = scope
        self._scope: Scope | None = None

    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        """Begin to count."""
        del logs
        known: Mapping[str, Any] = getattr(self, "params", None) or {}
        run = run_or_current(self._run)
        self._scope = run.scope(self._scope_name, total=known.get("epochs"), unit="epochs")

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Log the measures of an epoch."""
        run_or_current(self._run).log(numbers_of(logs), step=epoch)
        if self._scope is not None:
            self._scope.update(completed=epoch + 1)

    def on_train_end(self, logs: Mapping[str, Any] | None = None) -> None:
        """End the count, which training that was stopped early leaves below its total."""
        del logs
        if self._scope is not None:
            self._scope.end()
