from support.example_runs import NOW, outputs, runners, series
from trackside.cli.paint import Paint
from trackside.cli.rendering.outputs import output_table
from trackside.cli.rendering.runners import runner_table
from trackside.cli.rendering.series import series_table

_PLAIN = Paint()


def test_outputs_show_sizes_and_whether_they_are_there() -> None:
    assert output_table(outputs(), NOW, _PLAIN) == [
        "SIZE    COMPRESSED  NAME                       KIND    PUBLISHED",
        "1.5 MB  812 B       model.joblib               model   5 s ago",
        "999 B               report.html (late) (gone)  report  4 s ago",
    ]


def test_series_show_last_best_and_mean() -> None:
    assert series_table(series(), _PLAIN) == [
        "SERIES    CONTEXT  LAST   BEST   MEAN  COUNT  STEP",
        "accuracy  fold=3   0.975  0.981  0.97  3      3",
        "loss               nan    -      -     1      0",
    ]


def test_runners_say_why_they_cannot_be_used() -> None:
    assert runner_table(runners(), NOW, _PLAIN) == [
        "RUNNER  HOST    STATE                              RUNS  HEARD FROM",
        "local   box     connected                          1/2   3 s ago",
        "slurm   login1  unusable: sbatch is not installed  0/0   1 min ago",
    ]


def test_wide_tables_have_more_columns() -> None:
    assert "CHECKSUM" in output_table(outputs(), NOW, _PLAIN, wide=True)[0]
    assert "GOAL" in series_table(series(), _PLAIN, wide=True)[0]
    assert "AGENT" in runner_table(runners(), NOW, _PLAIN, wide=True)[0]
