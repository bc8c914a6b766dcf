"""Reports the trials of Optuna studies.

Example:
    ```python
    from trackside.integrations.optuna import TracksideCallback

    with trackside.start_run("search"):
        study.optimize(objective, n_trials=50, callbacks=[TracksideCallback(total=50)])
    ```
"""

import threading
from typing import TYPE_CHECKING, Any

from trackside.integrations.reporting import numbers_of, run_or_current
from trackside.session.run import Run

if TYPE_CHECKING:
    from trackside.session.scopes import Scope


class TracksideCallback:
    """Logs the values and parameters of each trial, counts them, and tells the best so far.

    Values are `value`, of several objectives `value/0` and so on, at the number of the trial.
    """

    def __init__(
        self, run: Run | None = None, *, scope: str = "trial", total: int | None = None
    ) -> None:
        """Report to this run, else to the current one."""
        self._run = run
        self._scope_name = scope
        self._total = total
        self._scope: Scope | None = None
        self._lock = threading.Lock()  # a study may try several at once

    def __call__(self, study: Any, trial: Any) -> None:  # noqa: ANN401 - of Optuna
        """Report on a trial that has ended."""
        run = run_or_current(self._run)
        state: str = trial.state.name
        values: list[float] = list(trial.values or ())
        is_only = len(values) == 1
        measured = {
            "value" if is_only else f"value/{index}": value for index, value in enumerate(values)
        }
        run.log({**measured, **numbers_of(trial.params, "params/")}, step=trial.number)
        self._count(run, f"trial {trial.number} {state}")
        if state == "FAIL":
            run.warning(f"trial {trial.number} failed", trial=trial.number)
        elif state == "COMPLETE" and len(study.directions) == 1:
            self._tell_best(run, study)

    def _tell_best(self, run: Run, study: Any) -> None:  # noqa: ANN401 - see above
        with self._lock:  # what was the best a moment ago must not be told last
            best = study.best_trial
            run.result(
                best_score=best.value,
                best_series="value",
                models_trained=len(study.trials),
                trial=best.number,
                params=best.params,
            )

    def _count(self, run: Run, message: str) -> None:
        with self._lock:
            if self._scope is None:
                self._scope = run.scope(self._scope_name, total=self._total, unit="trials")
            self._scope.advance(message=message)
            if self._total is not None and self._scope.completed >= self._total:
                self._scope.end()
