"""Reports estimators, cross-validation and searches of scikit-learn.

Example:
    ```python
    from trackside.integrations.sklearn import cross_validate  # in place of scikit-learn's

    with trackside.start_run("ridge"):
        scores = cross_validate(model, x, y, cv=5)
    ```
"""

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any

from trackside.integrations.reporting import numbers_of, run_or_current
from trackside.session.run import Run

_base: Any = import_module("sklearn.base")
_selection: Any = import_module("sklearn.model_selection")


class Folds:
    """A splitter whose folds are counted by a scope while they are gone through.

    Folds that are fitted one after the other are counted as they end; with `n_jobs` they are
    counted as they are handed out.
    """

    def __init__(self, splitter: Any, run: Run | None = None, *, scope: str = "fold") -> None:  # noqa: ANN401 - any splitter
        """Split as `splitter` does, for example `KFold(5)`."""
        self._splitter = splitter
        self._run = run
        self._scope = scope

    def get_n_splits(self, *data: Any, **named: Any) -> int:  # noqa: ANN401 - as scikit-learn calls it
        """Return how many folds there are."""
        return self._splitter.get_n_splits(*data, **named)

    def split(self, *data: Any, **named: Any) -> Iterator[Any]:  # noqa: ANN401 - as scikit-learn calls it
        """Yield the indices of training and test data of each fold."""
        folds = self._splitter.split(*data, **named)
        total = self.get_n_splits(*data, **named)
        return iter(run_or_current(self._run).progress(folds, self._scope, total=total))


def log_estimator(estimator: Any, run: Run | None = None) -> None:  # noqa: ANN401 - any of scikit-learn
    """Set what the estimator is, and its parameters that are not None, as parameters of the run."""
    parameters = {
        key: value
        for key, value in estimator.get_params().items()
        if isinstance(value, bool | int | float | str)
    }
    run_or_current(run).set_parameters({"estimator": _name_of(estimator), **parameters})


def _name_of(estimator: Any) -> str:  # noqa: ANN401 - any of scikit-learn
    steps = ", ".join(type(step).__name__ for _, step in getattr(estimator, "steps", ()))
    name = type(estimator).__name__
    return f"{name}({steps})" if steps else name


def log_cross_validation(results: Mapping[str, Any], run: Run | None = None) -> None:
    """Log what `cross_validate` returns: the figures of each fold, and the mean test score.

    Each figure is a series with a point for each fold.
    """
    run = run_or_current(run)
    figures = {
        key: list(values)
        for key, values in results.items()
        if key not in {"estimator", "indices"} and hasattr(values, "__len__")
    }
    for fold in range(max(map(len, figures.values()), default=0)):
        run.log(numbers_of({key: values[fold] for key, values in figures.items()}), step=fold)
    scores = figures.get("test_score")
    if scores:
        mean = float(sum(scores) / len(scores))
        run.result(best_score=mean, best_series="test_score", models_trained=len(scores))


def cross_validate(
    estimator: Any,  # noqa: ANN401 - any of scikit-learn
    X: Any,  # noqa: ANN401, N803 - as scikit-learn names it
    y: Any = None,  # noqa: ANN401 - whatever scikit-learn takes
    *,
    cv: Any = None,  # noqa: ANN401 - likewise
    **named: Any,  # noqa: ANN401 - likewise
) -> dict[str, Any]:
    """Do what scikit-learn's does, and report it to the current run.

    The estimator becomes parameters, the folds are counted, and each figure of each fold is a
    point; the mean test score is the run's result.
    """
    log_estimator(estimator)
    splitter = _selection.check_cv(cv, y, classifier=_base.is_classifier(estimator))
    scores = _selection.cross_validate(estimator, X, y, cv=Folds(splitter), **named)
    log_cross_validation(scores)
    return scores


def cross_val_score(estimator: Any, X: Any, y: Any = None, **named: Any) -> Any:  # noqa: ANN401, N803 - as above
    """Return the test score of each fold, as scikit-learn's does; reported as `cross_validate`."""
    return cross_validate(estimator, X, y, **named)["test_score"]


def log_search(search: Any, run: Run | None = None) -> None:  # noqa: ANN401 - any search of scikit-learn
    """Log a search that was fitted, for example a `GridSearchCV`: each candidate, and the best.

    Each figure is a series with a point for each candidate.
    """
    run = run_or_current(run)
    results: Mapping[str, Any] = search.cv_results_
    candidates: list[Mapping[str, Any]] = list(results["params"])
    for number, candidate in enumerate(candidates):
        figures = {
            key: values[number]
            for key, values in results.items()
            if key.startswith(("mean_", "std_", "rank_"))
        }
        run.log({**numbers_of(figures), **numbers_of(candidate, "params/")}, step=number)
    best: Any = getattr(search, "best_score_", None)
    run.result(
        best_score=None if best is None else float(best),
        best_series="mean_test_score",
        models_trained=len(candidates) * int(getattr(search, "n_splits_", 1)),
        params=dict(getattr(search, "best_params_", {})),
    )
