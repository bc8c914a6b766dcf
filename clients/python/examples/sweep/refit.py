"""The end of the sweep: the best variant, fitted to all the data, with a report and the model."""

import argparse
from html import escape
from pathlib import Path
from typing import Final

import joblib
import numpy as np
from pipeline import Matrix, make_model, r2
from train import preprocess

import trackside

_STEPS: Final = 20
_HELD_OUT: Final = 0.2


def main() -> None:
    """Fit to more and more of the data, then to all of it."""
    arguments = parse_arguments()
    arguments.outputs.mkdir(parents=True, exist_ok=True)
    with trackside.start_run(description=f"best variant: {arguments.model}") as run:
        features, target = preprocess(run, arguments.features, arguments.cache)
        curve = learning_curve(run, features, target, arguments)
        with run.task("fit all"):
            model = make_model(arguments.model, arguments.strength).fit(features, target)
        model_path = arguments.outputs / "model.joblib"
        joblib.dump(model, model_path)
        run.output(model_path, kind="model", description="the best variant, fitted to all data")
        report_path = arguments.outputs / "report.html"
        report_path.write_text(report(arguments, curve), encoding="utf-8")
        run.output(report_path, kind="report", description="learning curve of the best variant")
        run.result(best_score=curve[-1][1], best_series="r2", models_trained=len(curve) + 1)


def learning_curve(
    run: trackside.Run, features: Matrix, target: Matrix, arguments: argparse.Namespace
) -> list[tuple[int, float]]:
    """Return (rows, r2 on held-out rows) for growing parts of the data."""
    order = np.random.default_rng(0).permutation(len(target))
    held_out, rest = np.split(order, [int(len(order) * _HELD_OUT)])
    curve: list[tuple[int, float]] = []
    with run.scope("step", total=_STEPS) as scope:
        for step in range(1, _STEPS + 1):
            rows = rest[: max(30, len(rest) * step // _STEPS)]
            scope.update(message=f"Fitting step {step}/{_STEPS} - {len(rows)} rows")
            model = make_model(arguments.model, arguments.strength)
            model.fit(features[rows], target[rows])
            score = r2(target[held_out], model.predict(features[held_out]))
            run.log({"r2": score, "rows": len(rows)}, step=step)
            curve.append((len(rows), score))
            scope.advance()
    return curve


def report(arguments: argparse.Namespace, curve: list[tuple[int, float]]) -> str:
    """Return a page that shows the learning curve."""
    rows = "".join(f"<tr><td>{count}</td><td>{score:.4f}</td></tr>" for count, score in curve)
    title = escape(f"{arguments.model}, {arguments.features}, strength {arguments.strength:g}")
    return (
        f"<!doctype html><meta charset=utf-8><title>{title}</title><h1>{title}</h1>"
        f"<table><tr><th>rows</th><th>r2 on held-out rows</th></tr>{rows}</table>\n"
    )


def parse_arguments() -> argparse.Namespace:
    """Return the best variant's parameters and where its outputs go."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True)
    parser.add_argument("--features", choices=["linear", "polynomial"], required=True)
    parser.add_argument("--strength", type=float, required=True)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--outputs", type=Path, required=True)
    return parser.parse_args()


if __name__ == "__main__":
    main()
