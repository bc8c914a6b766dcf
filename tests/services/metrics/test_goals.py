import pytest

from trackside_metrics.goals import guess_goal
from trackside_protos.metrics.v1.series_pb2 import SERIES_GOAL_MAXIMIZE, SERIES_GOAL_MINIMIZE

MINIMISED = ("loss", "train/loss", "valLoss", "val_mse", "RMSE", "Perplexity", "trainloss", "x.err")
MAXIMISED = ("accuracy", "f1", "val/auc", "reward", "r2", "lossless", "kappa", "")


@pytest.mark.parametrize("key", MINIMISED)
def test_losses_and_errors_are_minimised(key: str) -> None:
    assert guess_goal(key) == SERIES_GOAL_MINIMIZE


@pytest.mark.parametrize("key", MAXIMISED)
def test_all_else_is_maximised(key: str) -> None:
    assert guess_goal(key) == SERIES_GOAL_MAXIMIZE
