"""One variant of the sweep: preprocess, then fit and score five folds."""

import argparse
from pathlib import Path

import numpy as np
from pipeline import FOLDS, Matrix, Node, folds, load, make_model, nodes, r2, rmse

import trackside


def main() -> None:
    """Run the variant that the command line describes."""
    arguments = parse_arguments()
    description = f"{arguments.model}, {arguments.features}, strength {arguments.strength:g}"
    with trackside.start_run(description=description) as run:
        features, target = preprocess(run, arguments.features, arguments.cache)
        scores = score_folds(run, features, target, arguments)
        mean = float(np.mean(scores))
        run.log({"mean_r2": mean})
        run.info(f"{description}: mean r2 {mean:.4f}")
        run.result(best_score=mean, best_series="mean_r2", models_trained=len(scores))


def preprocess(run: trackside.Run, kind: str, cache: Path) -> tuple[Matrix, Matrix]:
    """Return features and target; what an earlier variant computed is taken from the cache."""
    with run.task("load"):
        features, target = load()
        run.dataset("diabetes", features)
    available = nodes(cache)
    wanted = ["scale", "expand"] if kind == "polynomial" else ["scale"]
    for node in (available[name] for name in wanted):
        features = apply(run, node, features)
    return features, target


def apply(run: trackside.Run, node: Node, features: Matrix) -> Matrix:
    """Return what a preprocessing node makes of the features, and report whether it was cached."""
    with run.task(node.name) as task:
        if node.is_cached(features):
            task.cached()
        return node.function(features)


def score_folds(
    run: trackside.Run, features: Matrix, target: Matrix, arguments: argparse.Namespace
) -> list[float]:
    """Return the r2 score of each fold."""
    scores: list[float] = []
    title = arguments.model.capitalize()
    with run.scope("fold", total=FOLDS) as scope:
        for fold, (train, test) in enumerate(folds(features), start=1):
            scope.update(message=f"Fitting fold {fold}/{FOLDS} - {title}")
            with run.task(f"fit ({fold})", process="fit"):
                model = make_model(arguments.model, arguments.strength)
                model.fit(features[train], target[train])
                predicted = model.predict(features[test])
            score = r2(target[test], predicted)
            error = rmse(target[test], predicted)
            run.log({"r2": score, "rmse": error}, step=fold)
            run.info(f"fold {fold}/{FOLDS}: r2 {score:.4f}, rmse {error:.2f}", fold=fold)
            scores.append(score)
            scope.advance()
    return scores


def parse_arguments() -> argparse.Namespace:
    """Return the variant's parameters."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True)
    parser.add_argument("--features", choices=["linear", "polynomial"], required=True)
    parser.add_argument("--strength", type=float, required=True)
    parser.add_argument("--cache", type=Path, required=True)
    return parser.parse_args()


if __name__ == "__main__":
    main()
