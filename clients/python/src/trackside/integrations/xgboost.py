"""Reports the training of XGBoost models.

Example:
    ```python
    from trackside.integrations.xgboost import TracksideCallback

    with trackside.start_run("boost"):
        xgboost.train(params, data, 100, evals=[(test, "test")], callbacks=[TracksideCallback()])
    ```
"""

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

from trackside.integrations.reporting import numbers_of, run_or_current
from trackside.session.run import Run

if TYPE_CHECKING:
    from trackside.session.scopes import Scope

_xgboost: Any = import_module("xgboost")


def _value_of(measure: Any) -> Any:  # noqa: ANN401 - a number, or with its deviation a pair
    return measure[0] if hasattr(measure, "__len__") else measure


class TracksideCallback(_xgboost.callback.TrainingCallback):  # pyright: ignore[reportUntypedBaseClass] - not installed where types are checked
    """Logs what each round measured, as `test/rmse`, and counts the rounds."""

    def __init__(self, run: Run | None = None, *, scope: str = "round") -> None:
        """Report to this run, else to the current one."""
        super().__init__()
        self._run = run
        self._scope_name = scope
        self._scope: Scope | None = None

    def before_training(self, model: Any) -> Any:  # noqa: ANN401 - a model of XGBoost
        """Begin to count."""
        self._scope = run_or_current(self._run).scope(self._scope_name, unit="rounds")
        return model

    def after_iteration(
        self,
        model: Any,  # noqa: ANN401 - a model of XGBoost
        epoch: int,
        evals_log: Mapping[str, Mapping[str, Sequence[Any]]],
    ) -> bool:
        """Log the measures of a round; say that training goes on."""
        del model
        latest: dict[str, Any] = {
            f"{data}/{measure}": _value_of(values[-1])
            for data, measures in evals_log.items()
            for measure, values in measures.items()
        }
        run_or_current(self._run).log(numbers_of(latest), step=epoch)
        if self._scope is not None:
            self._scope.advance()
        return False

    def after_training(self, model: Any) -> Any:  # noqa: ANN401 - a model of XGBoost
        """End the count."""
        if self._scope is not None:
            self._scope.update(total=self._scope.completed)
            self._scope.end()
        return model
