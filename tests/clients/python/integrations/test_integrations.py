import pytest
from google.protobuf.json_format import MessageToDict

from support.append_server import AppendServer, StoredRun
from support.programs import Programs
from support.reported import parameters, result, scope

pytestmark = pytest.mark.integrations

QUIET = {"KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu", "OMP_NUM_THREADS": "1"}


def report_of(programs: Programs, server: AppendServer, source: str) -> StoredRun:
    ended = programs.run(source, **QUIET)
    assert ended.code == 0, ended.errors
    return server.only_run()


def test_scikit_learn(programs: Programs, append_server: AppendServer) -> None:
    stored = report_of(
        programs,
        append_server,
        """
        import trackside
        from sklearn.datasets import make_regression
        from sklearn.linear_model import Ridge
        from sklearn.model_selection import GridSearchCV, KFold, cross_validate
        from trackside.integrations import sklearn as reporting

        x, y = make_regression(60, 3, random_state=1)
        with trackside.start_run("ridge", capture=False) as run:
            reporting.log_estimator(Ridge(alpha=0.5))
            scores = cross_validate(Ridge(), x, y, cv=reporting.Folds(KFold(5)))
            reporting.log_cross_validation(scores)
            search = GridSearchCV(Ridge(), {"alpha": [0.1, 1.0]}, cv=reporting.Folds(KFold(3)))
            reporting.log_search(search.fit(x, y))
        """,
    )

    assert scope(stored, "fold") == (3, 3, True)
    counted = [r.scope.completed_count for r in stored.reports if r.scope.path == "fold"]
    assert max(counted) == 5
    assert parameters(stored)["estimator"] == "Ridge"
    assert parameters(stored)["alpha"] == 0.5
    assert len(stored.values("test_score")) == 5
    assert len(stored.values("mean_test_score")) == 2
    assert stored.values("params/alpha") == [0.1, 1.0]
    assert result(stored).models_trained_count == 6
    assert MessageToDict(result(stored).values)["params"]["alpha"] in (0.1, 1.0)


def test_scikit_learn_by_its_own_words(programs: Programs, append_server: AppendServer) -> None:
    stored = report_of(
        programs,
        append_server,
        """
        import numpy, sklearn.model_selection, trackside
        from sklearn.datasets import load_iris
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler
        from trackside.integrations.sklearn import cross_val_score, cross_validate

        x, y = load_iris(return_X_y=True)
        model = make_pipeline(StandardScaler(), LogisticRegression(C=0.5))
        with trackside.start_run("iris", capture=False):
            ours = cross_validate(model, x, y, cv=5, scoring="accuracy", return_train_score=True)
            assert sorted(ours) == ["fit_time", "score_time", "test_score", "train_score"]
            again = cross_val_score(model, x, y)
        theirs = sklearn.model_selection.cross_val_score(model, x, y)
        assert list(ours["test_score"]) == list(again) == list(theirs)  # stratified, as by theirs
        """,
    )

    assert scope(stored, "fold") == (5, 5, True)
    known = parameters(stored)
    assert known["estimator"] == "Pipeline(StandardScaler, LogisticRegression)"
    assert known["logisticregression__C"] == 0.5
    assert "memory" not in known
    assert len(stored.values("test_score")) == 10
    assert len(stored.values("train_score")) == 5
    assert result(stored).models_trained_count == 5


def test_xgboost(programs: Programs, append_server: AppendServer) -> None:
    stored = report_of(
        programs,
        append_server,
        """
        import numpy, trackside, xgboost
        from trackside.integrations.xgboost import TracksideCallback

        x = numpy.random.default_rng(1).random((50, 3))
        data = xgboost.DMatrix(x, x.sum(axis=1))
        with trackside.start_run("boost", capture=False):
            xgboost.train({"nthread": 1}, data, 7, evals=[(data, "train")], verbose_eval=False,
                          callbacks=[TracksideCallback()])
        """,
    )

    assert scope(stored, "round") == (7, 7, True)
    errors = stored.values("train/rmse")
    assert len(errors) == 7
    assert errors[-1] < errors[0]


def test_optuna(programs: Programs, append_server: AppendServer) -> None:
    stored = report_of(
        programs,
        append_server,
        """
        import optuna, trackside
        from trackside.integrations.optuna import TracksideCallback

        optuna.logging.set_verbosity(optuna.logging.WARNING)

        def objective(trial):
            if trial.number == 3:
                raise ValueError("a bad one")
            return trial.suggest_float("x", -1, 1) ** 2

        with trackside.start_run("search", capture=False):
            study = optuna.create_study(sampler=optuna.samplers.RandomSampler(1))
            study.optimize(objective, n_trials=8, catch=[ValueError],
                           callbacks=[TracksideCallback(total=8)])
            several = optuna.create_study(directions=["minimize", "maximize"])
            several.optimize(lambda trial: (trial.number, 1.0), n_trials=2,
                             callbacks=[TracksideCallback(scope="both")])
        """,
    )

    values = stored.values("value")
    assert scope(stored, "trial") == (8, 8, True)
    assert scope(stored, "both")[0] == 2
    assert len(values) == 7
    assert len(stored.values("params/x")) == 7
    assert result(stored).best_score == min(values)
    assert stored.values("value/0") == [0.0, 1.0]
    assert stored.messages == ["trial 3 failed"]


def test_keras(programs: Programs, append_server: AppendServer) -> None:
    stored = report_of(
        programs,
        append_server,
        """
        import keras, numpy, trackside
        from trackside.integrations.keras import TracksideCallback

        x = numpy.random.default_rng(1).random((32, 3))
        model = keras.Sequential([keras.layers.Dense(1)])
        model.compile("sgd", "mse", metrics=["mae"])
        stop = keras.callbacks.EarlyStopping("loss", min_delta=1e9, patience=2)
        with trackside.start_run("train", capture=False):
            model.fit(x, x.sum(axis=1), epochs=9, verbose=0, validation_split=0.25,
                      callbacks=[TracksideCallback(), stop])
        """,
    )

    assert scope(stored, "epoch") == (3, 9, True)
    assert {len(stored.values(key)) for key in ("loss", "mae", "val_loss", "val_mae")} == {3}


@pytest.mark.parametrize("options", ["", ", disable=True"])
def test_tqdm(programs: Programs, append_server: AppendServer, options: str) -> None:
    stored = report_of(
        programs,
        append_server,
        f"""
        import trackside
        from tqdm import tqdm as plain
        from trackside.integrations.tqdm import tqdm

        with trackside.start_run("bars", capture=False) as run:
            for fold in tqdm(range(3), desc="fold"{options}):
                run.info(fold)
            for number in tqdm(iter(range(9)), scope="broken"{options}):
                if number == 4:
                    break
            with tqdm(total=10, desc="bytes"{options}) as bar:
                bar.update(3)
                bar.update(4)
            for _ in run.progress(plain(range(2){options}), "wrapped"):
                pass
            for _ in run.progress(plain(iter(range(2)), total=2{options}), "told"):
                pass
        """,
    )

    assert scope(stored, "fold") == (3, 3, True)
    assert [dict(entry.context) for entry in stored.entries] == [
        {"fold": "1"},
        {"fold": "2"},
        {"fold": "3"},
    ]
    assert scope(stored, "broken") == (4, 0, True)
    assert scope(stored, "bytes") == (7, 10, True)
    assert scope(stored, "wrapped") == (2, 2, True)
    assert scope(stored, "told") == (2, 2, True)


def test_rich(programs: Programs, append_server: AppendServer) -> None:
    stored = report_of(
        programs,
        append_server,
        """
        import trackside
        from rich.progress import track
        from trackside.integrations.rich import Progress

        with trackside.start_run("bars", capture=False) as run:
            with Progress() as bars:
                for _ in bars.track(range(4), description="fold"):
                    pass
                task = bars.add_task("bytes", total=10)
                bars.update(task, advance=6)
                bars.advance(task)
                gone = bars.add_task("gone", total=2)
                bars.remove_task(gone)
            for _ in run.progress(track(range(3)), "wrapped", total=3):
                pass
        """,
    )

    assert scope(stored, "fold") == (4, 4, True)
    assert scope(stored, "bytes") == (7, 10, True)
    assert scope(stored, "gone") == (0, 2, True)
    assert scope(stored, "wrapped") == (3, 3, True)


def test_arrow_and_pandas_take_metrics(programs: Programs) -> None:
    ended = programs.run(
        """
        from trackside.client.metrics import Metrics
        from trackside_protos.metrics.v1.metrics_service_pb2 import Points, SeriesPoints

        points = Points(steps=[0, 1], times_millis=[0, 1500], values=[0.5, 0.25])
        metrics = Metrics([SeriesPoints(key="loss", context={"fold": "1"}, points=points)])
        table = metrics.to_arrow()
        print(table.column_names, table["value"].to_pylist(), table.schema.field("time").type)
        print(metrics.to_pandas().to_dict("list") == table.to_pandas().to_dict("list"))
        """
    )

    assert ended.output.splitlines() == [
        "['key', 'fold', 'step', 'time', 'value'] [0.5, 0.25] timestamp[ms, tz=UTC]",
        "True",
    ]


def test_without_a_run_callbacks_do_nothing(programs: Programs) -> None:
    ended = programs.run(
        """
        from trackside.integrations.tqdm import tqdm
        print(list(tqdm(range(3), disable=True)))
        """
    )

    assert (ended.code, ended.output) == (0, "[0, 1, 2]\n")
