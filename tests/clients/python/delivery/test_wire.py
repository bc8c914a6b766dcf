from trackside.delivery import wire
from trackside.delivery.blocks import MAX_POINTS, encode_blocks
from trackside.delivery.wire import Item
from trackside.spool.frames import Frame, Service
from trackside_protos.logs.v1.log_entry_pb2 import LogEntry, LogLevel
from trackside_protos.logs.v1.logs_service_pb2 import AppendLogsRequest
from trackside_protos.metrics.v1.metrics_service_pb2 import AppendMetricsRequest
from trackside_protos.metrics.v1.series_pb2 import PointBlock
from trackside_protos.producers.v1.batch_pb2 import Batch
from trackside_protos.runs.v1.runs_service_pb2 import ReportRunRequest


def entries(*messages: str) -> list[Item]:
    return [Item(LogEntry(message=message).SerializeToString()) for message in messages]


def test_a_frame_with_its_batch_in_front_is_the_request() -> None:
    (frame,) = wire.frames_of(Service.LOGS, entries("a", "b" * 300))
    batch = Batch(run_id="r", producer_id="p", epoch=1, sequence=300)

    request = AppendLogsRequest.FromString(wire.request_of(batch, frame.payload))

    assert request.batch == batch
    assert [entry.message for entry in request.entries] == ["a", "b" * 300]


def test_batches_are_bounded_in_items_and_bytes() -> None:
    many = list(wire.frames_of(Service.LOGS, entries(*["x"] * 2_500)))
    large = list(wire.frames_of(Service.LOGS, entries(*["x" * 100_000] * 5)))

    assert [frame.items for frame in many] == [1000, 1000, 500]
    assert [frame.items for frame in large] == [2, 2, 1]


def test_the_note_stands_beside_the_last_batch() -> None:
    frames = list(wire.frames_of(Service.LOGS, entries(*["x"] * 1_500), note=b"n"))

    assert [frame.note for frame in frames] == [b"", b"n"]


def test_a_substitute_of_logs_is_one_warning_with_the_count_and_the_time() -> None:
    entry = LogEntry(message="gone")
    entry.time.FromSeconds(77)
    (frame,) = wire.frames_of(Service.LOGS, [Item(entry.SerializeToString())] * 3)

    (left,) = AppendLogsRequest.FromString(wire.substitute(frame)).entries

    assert left.level == LogLevel.LOG_LEVEL_WARNING
    assert left.message.startswith("3 log entries were dropped here")
    assert left.time.seconds == 77


def test_a_substitute_of_points_is_a_point_with_the_count() -> None:
    items = encode_blocks("loss", {}, [1, 2], [10, 20], [0.1, 0.2])
    (frame,) = wire.frames_of(Service.METRICS, items)

    (left,) = AppendMetricsRequest.FromString(wire.substitute(frame)).blocks

    assert (left.key, list(left.values), list(left.times_millis)) == (
        "trackside/dropped_points",
        [2.0],
        [10],
    )


def test_a_substitute_of_reports_is_a_gap() -> None:
    frame = Frame(Service.RUNS, 1, b"", items=4)

    (left,) = ReportRunRequest.FromString(wire.substitute(frame)).reports

    assert (left.gap.kind, left.gap.item_count) == ("reports", 4)


def test_blocks_built_from_columns_are_what_the_message_class_reads() -> None:
    for count in (1, 2, 1000):
        columns = list(range(count)), [5] * count, [0.5] * count

        (item,) = encode_blocks("k", {"fold": "1"}, *columns)

        block = PointBlock.FromString(item.data)
        assert (block.key, dict(block.context)) == ("k", {"fold": "1"})
        assert (list(block.steps), list(block.times_millis), list(block.values)) == columns
        assert item.weight == count


def test_long_columns_are_cut() -> None:
    count = MAX_POINTS + 1

    items = list(encode_blocks("k", {}, [0] * count, [0] * count, [0.0] * count))

    assert [item.weight for item in items] == [MAX_POINTS, 1]
