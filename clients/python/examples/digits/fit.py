"""Fits handwritten digits in five folds and reports it: what docs/cli.md shows is this program."""

# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false
# ruff: noqa: ANN401
# scikit-learn and joblib ship no types.

import argparse
import time
from pathlib import Path
from typing import Any

import joblib
from sklearn.datasets import load_digits
from sklearn.model_selection import KFold
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

import trackside

FOLDS = 5
LARGEST_GAMMA = 0.1
memory = joblib.Memory("cache", verbose=0)


@memory.cache
def load() -> tuple[Any, Any]:
    """Return the pixels of 1,797 digits, and which digits they are."""
    digits: Any = load_digits()
    return digits.data, digits.target


@memory.cache
def scale(pixels: Any) -> Any:
    """Return the pixels with mean 0 and variance 1."""
    return StandardScaler().fit_transform(pixels)


def main() -> None:
    """Fit what the command line describes."""
    arguments = parse_arguments()
    with trackside.start_run() as run:
        if arguments.gamma > LARGEST_GAMMA:
            message = "gamma is too large"
            raise ValueError(message)
        pixels, digits = apply(run, "load", load)
        pixels = apply(run, "scale", scale, pixels)
        scores = fit_folds(run, pixels, digits, arguments)
        with run.task("fit all"):
            model = SVC(gamma=arguments.gamma).fit(pixels, digits)
        path = Path(f"model-{arguments.gamma}.joblib")
        joblib.dump(model, path)
        run.output(path, kind="model")
        run.result(best_score=max(scores), best_series="accuracy", models_trained=FOLDS + 1)


def apply(run: trackside.Run, name: str, function: Any, *arguments: Any) -> Any:
    """Return what a node of preprocessing makes of its arguments, cached or not."""
    with run.task(name) as task:
        if function.check_call_in_cache(*arguments):
            task.cached()
        return function(*arguments)


def fit_folds(
    run: trackside.Run,
    pixels: Any,
    digits: Any,
    arguments: argparse.Namespace,
) -> list[float]:
    """Return the accuracy of each fold."""
    scores: list[float] = []
    with run.scope("fold", total=FOLDS) as scope:
        for fold, (train, test) in enumerate(KFold(FOLDS).split(pixels), start=1):
            scope.update(message=f"Fitting fold {fold}/{FOLDS} - SVC")
            with run.task(f"fit ({fold})", process="fit"):
                model = SVC(gamma=arguments.gamma).fit(pixels[train], digits[train])
                if fold == arguments.linger:
                    time.sleep(1000)
            scores.append(float(model.score(pixels[test], digits[test])))
            run.log({"accuracy": scores[-1]}, step=fold)
            run.info(f"fold {fold}/{FOLDS}: accuracy {scores[-1]:.3f}", fold=fold)
            scope.advance()
    return scores


def parse_arguments() -> argparse.Namespace:
    """Return the parameters."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gamma", type=float, required=True)
    parser.add_argument(
        "--linger", type=int, default=0, help="the fold to linger in, so that there is time to look"
    )
    return parser.parse_args()


if __name__ == "__main__":
    main()
