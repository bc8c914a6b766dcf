"""The work that the sweep does: a data set, preprocessing that is cached, and models.

Nothing in here knows Trackside. The data set is scikit-learn's diabetes (442 patients, ten
measurements, disease progression after a year), which ships with the package.
"""

# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false
# scikit-learn and joblib ship no types; what is taken from them is typed here, once.

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol, cast

import numpy as np
import numpy.typing as npt
from joblib import Memory
from sklearn.datasets import load_diabetes
from sklearn.ensemble import GradientBoostingRegressor
from sklearn.linear_model import Lasso, Ridge
from sklearn.metrics import r2_score, root_mean_squared_error
from sklearn.model_selection import KFold
from sklearn.neighbors import KNeighborsRegressor
from sklearn.preprocessing import PolynomialFeatures, StandardScaler
from sklearn.svm import SVR

FOLDS: Final = 5

Matrix = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]


class Model(Protocol):
    """What scikit-learn's regressors can do."""

    def fit(self, features: Matrix, target: Matrix, /) -> "Model":
        """Learn."""
        ...

    def predict(self, features: Matrix, /) -> Matrix:
        """Return what was learned of these."""
        ...


MODELS: Final[dict[str, Callable[[float], Any]]] = {
    "ridge": lambda strength: Ridge(alpha=strength),
    "lasso": lambda strength: Lasso(alpha=strength, max_iter=20_000),
    "svr": lambda strength: SVR(C=10 * strength),
    "neighbors": lambda strength: KNeighborsRegressor(n_neighbors=max(3, round(20 * strength))),
    "boosting": lambda strength: GradientBoostingRegressor(
        learning_rate=min(0.2, 0.1 * strength), n_estimators=150, max_depth=2, random_state=0
    ),
}
"""How to make each model from the strength of its regularisation."""


@dataclass(frozen=True)
class Node:
    """One step of preprocessing: its name and the function that does it."""

    name: str
    function: Any

    def is_cached(self, *arguments: object) -> bool:
        """Whether the result for these arguments is there from an earlier run."""
        return bool(self.function.check_call_in_cache(*arguments))


def load() -> tuple[Matrix, Matrix]:
    """Return the measurements, not scaled, and the progression."""
    features, target = load_diabetes(return_X_y=True, scaled=False)
    return cast("Matrix", features), cast("Matrix", target)


def scale(features: Matrix) -> Matrix:
    """Return the columns with mean 0 and variance 1."""
    return cast("Matrix", StandardScaler().fit_transform(features))


def expand(features: Matrix) -> Matrix:
    """Return the columns with their squares and products."""
    products = PolynomialFeatures(degree=2, include_bias=False).fit_transform(features)
    return cast("Matrix", StandardScaler().fit_transform(products))


def nodes(cache: Path) -> dict[str, Node]:
    """Return the preprocessing nodes, whose results are kept below `cache`."""
    memory = Memory(cache, verbose=0)
    return {name: Node(name, memory.cache(f)) for name, f in (("scale", scale), ("expand", expand))}


def make_model(name: str, strength: float) -> Model:
    """Return a model that is not fitted yet."""
    return cast("Model", MODELS[name](strength))


def folds(features: Matrix) -> Iterator[tuple[Rows, Rows]]:
    """Yield the rows to train with and those to test with, for each fold."""
    yield from KFold(FOLDS, shuffle=True, random_state=0).split(features)


def r2(target: Matrix, predicted: Matrix) -> float:
    """Return the share of the variance that is explained."""
    return float(cast("float", r2_score(target, predicted)))


def rmse(target: Matrix, predicted: Matrix) -> float:
    """Return the root of the mean squared error."""
    return float(cast("float", root_mean_squared_error(target, predicted)))
