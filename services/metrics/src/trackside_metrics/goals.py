"""Which way a metric gets better, guessed from the words in its key: the table and no more."""

import re
from functools import lru_cache
from typing import Final

from trackside_protos.metrics.v1 import series_pb2

MINIMISED_WORDS: Final = frozenset(
    {
        *("loss", "losses", "error", "errors", "err", "cost", "regret", "penalty", "residual"),
        *("mse", "rmse", "mae", "mape", "smape", "msle", "rmsle", "nmse", "nrmse", "mre"),
        *("nll", "bce", "logloss", "crossentropy", "perplexity", "ppl", "bpb", "bpc", "brier"),
        *("wer", "cer", "ter", "eer", "fid", "kid", "lpips", "kl", "divergence", "deviance"),
        *("aic", "bic", "fpr", "fnr", "misses", "failures", "failed", "violations", "drift"),
        *("latency", "duration", "seconds", "runtime", "overhead", "distance", "gap", "ece"),
    }
)
"""A key with one of these words is minimised, all others are maximised."""

MINIMISED_ENDINGS: Final = ("loss", "error", "entropy")
"""A word that ends so is minimised too: `valloss`, `logloss`, `crossentropy`."""

_WORD: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")


@lru_cache(maxsize=4096)
def guess_goal(key: str) -> "series_pb2.SeriesGoal.ValueType":
    """Return which way a metric of this key gets better."""
    words = [word.lower() for word in _WORD.findall(key)]
    if any(word in MINIMISED_WORDS or word.endswith(MINIMISED_ENDINGS) for word in words):
        return series_pb2.SERIES_GOAL_MINIMIZE
    return series_pb2.SERIES_GOAL_MAXIMIZE
