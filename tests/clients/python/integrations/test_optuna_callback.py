import threading
from types import SimpleNamespace
from typing import Any

import pytest

import trackside
from support.append_server import AppendServer
from trackside.integrations.optuna import TracksideCallback

pytestmark = pytest.mark.usefixtures("reporting")


class Study:
    """A study in which a better trial ends while the best one is asked for."""

    directions = ("minimize",)

    def __init__(self) -> None:
        self.trials = [trial(0)]
        self.better: threading.Thread | None = None
        self.callback: Any = None

    @property
    def best_trial(self) -> SimpleNamespace:
        best = self.trials[-1]
        if self.better is None:
            self.better = threading.Thread(target=self._end_another)
            self.better.start()
            self.better.join(0.2)  # ends before, unless it has to wait
        return best

    def _end_another(self) -> None:
        self.trials.append(trial(1))
        self.callback(self, self.trials[-1])


def trial(number: int) -> SimpleNamespace:
    state = SimpleNamespace(name="COMPLETE")
    value = float(-number)
    return SimpleNamespace(number=number, state=state, value=value, values=[value], params={})


def test_of_trials_that_end_at_once_the_best_is_told_last(append_server: AppendServer) -> None:
    study = Study()

    with trackside.start_run(capture=False) as run:
        study.callback = TracksideCallback(run)
        study.callback(study, study.trials[0])
        assert study.better is not None
        study.better.join()

    results = [r.result for r in append_server.only_run().reports if r.HasField("result")]
    assert [result.best_score for result in results] == [0.0, -1.0]
