from support.example_runs import CHILD_ID, FAILED_ID, child, failed_child, log_block, parent, series
from trackside.cli.live_model import LiveModel
from trackside_protos.live.v1.live_service_pb2 import WatchLiveResponse
from trackside_protos.logs.v1.logs_service_pb2 import WatchLogsResponse
from trackside_protos.metrics.v1.metrics_service_pb2 import ListSeriesResponse
from trackside_protos.runs.v1.change_pb2 import RunChange
from trackside_protos.runs.v1.run_state_pb2 import RunState
from trackside_protos.runs.v1.runs_service_pb2 import (
    RunListChange,
    WatchRunResponse,
    WatchRunsResponse,
)


def test_a_merged_watch_tells_of_the_run_and_its_log() -> None:
    model = LiveModel(child(), 0.0)
    run = WatchRunResponse(changes=[RunChange(run=failed_child())])
    logs = WatchLogsResponse(blocks=[log_block()])

    assert model.take("run", WatchLiveResponse(run=run, logs=logs), 3.0)

    assert model.run.state == RunState.RUN_STATE_FAILED
    assert model.tail[0][1].message == "fold 2 done"
    assert model.received_at == 3.0


def test_a_bookmark_is_no_news() -> None:
    model = LiveModel(child(), 0.0)

    assert not model.take("run", WatchLiveResponse(cursor="c"), 3.0)
    assert model.received_at == 0.0


def test_children_come_and_change() -> None:
    model = LiveModel(parent(), 0.0)
    ended = child()
    ended.state = RunState.RUN_STATE_COMPLETED

    model.take("children", WatchRunsResponse(present=[child(), failed_child()]), 1.0)
    at_work = model.active_children()
    model.take("children", WatchRunsResponse(changes=[RunListChange(run=ended)]), 2.0)

    assert (at_work, model.active_children()) == ([CHILD_ID], [])
    assert set(model.children) == {CHILD_ID, FAILED_ID}


def test_series_are_replaced_and_are_no_news() -> None:
    model = LiveModel(child(), 0.0)

    assert not model.take("series", ListSeriesResponse(series=series()), 1.0)
    assert [one.key for one in model.series] == ["accuracy", "loss"]
