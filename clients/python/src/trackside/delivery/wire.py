"""What the append streams of the three services have in common on the wire, and nothing else.

Each request is a `batch` (field 1) and repeated items (field 2), so one piece of code frames all.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from google.protobuf.timestamp_pb2 import Timestamp

from trackside.spool.frames import Frame, Service
from trackside_protos.logs.v1.log_entry_pb2 import LogEntry, LogLevel
from trackside_protos.logs.v1.logs_service_pb2 import AppendLogsRequest, AppendLogsResponse
from trackside_protos.metrics.v1.metrics_service_pb2 import (
    AppendMetricsRequest,
    AppendMetricsResponse,
)
from trackside_protos.metrics.v1.series_pb2 import PointBlock
from trackside_protos.producers.v1.batch_pb2 import Batch
from trackside_protos.runs.v1.report_pb2 import GapReport, RunReport
from trackside_protos.runs.v1.runs_service_pb2 import ReportRunRequest, ReportRunResponse

Response = ReportRunResponse | AppendLogsResponse | AppendMetricsResponse

METHODS: Final = {
    Service.RUNS: "/trackside.runs.v1.RunsService/ReportRun",
    Service.LOGS: "/trackside.logs.v1.LogsService/AppendLogs",
    Service.METRICS: "/trackside.metrics.v1.MetricsService/AppendMetrics",
}
RESPONSES: Final[dict[Service, type[Response]]] = {
    Service.RUNS: ReportRunResponse,
    Service.LOGS: AppendLogsResponse,
    Service.METRICS: AppendMetricsResponse,
}
KINDS: Final = {Service.RUNS: "reports", Service.LOGS: "logs", Service.METRICS: "points"}
"""What the items of each service are called in a gap report."""

BATCH_BYTES: Final = 256 << 10
"""A batch is closed when it is longer, unless one item alone is."""
BATCH_ITEMS: Final = 1_000
"""A batch has at most as many reports, entries or blocks."""

_BATCH_TAG: Final = b"\x0a"
_ITEM_TAG: Final = b"\x12"
_LAST_BYTE: Final = 0x80


@dataclass(frozen=True, slots=True)
class Item:
    """One encoded report, log entry or block of points."""

    data: bytes
    weight: int = 1
    """How many reports, entries or points it is."""


def request_of(batch: Batch, payload: bytes) -> bytes:
    """Return the whole request: this batch with these items."""
    head = batch.SerializeToString()
    return b"".join((_BATCH_TAG, _varint(len(head)), head, payload))


def frames_of(service: Service, items: Iterable[Item], *, note: bytes = b"") -> Iterator[Frame]:
    """Yield the items in batches of bounded size, the note beside the last of them."""
    parts: list[bytes] = []
    count = weight = size = 0
    for item in items:
        if parts and (count == BATCH_ITEMS or size + len(item.data) > BATCH_BYTES):
            yield Frame(service, 0, b"".join(parts), weight)
            parts.clear()
            count = weight = size = 0
        parts += (_ITEM_TAG, _varint(len(item.data)), item.data)
        count, weight, size = count + 1, weight + item.weight, size + len(item.data)
    if parts:
        yield Frame(service, 0, b"".join(parts), weight, note)


def substitute(frame: Frame, reason: str = "for want of room") -> bytes:
    """Return the payload of the smallest batch that says what this one has lost.

    Batches are numbered densely, so that one may lose its contents but not its number.
    """
    count = frame.items
    first, _ = times_of(frame)
    if frame.service is Service.LOGS:
        entry = LogEntry(
            time=first,
            level=LogLevel.LOG_LEVEL_WARNING,
            message=f"{count or 'an unknown number of'} log entries were dropped here {reason}",
            stream="log",
            logger="trackside",
        )
        item = entry.SerializeToString()
    elif frame.service is Service.METRICS:
        block = PointBlock(key="trackside/dropped_points", steps=[0], values=[float(count)])
        block.times_millis.append(first.ToMilliseconds())
        item = block.SerializeToString()
    else:
        report = RunReport(time=first, gap=GapReport(kind="reports", item_count=count))
        report.gap.reason = reason
        item = report.SerializeToString()
    return next(frames_of(frame.service, [Item(item)])).payload


def gap_report(frames: Sequence[Frame], reason: str) -> RunReport:
    """Return the report that the contents of these frames, all of one service, were dropped."""
    report = RunReport(
        gap=GapReport(
            kind=KINDS[frames[0].service],
            item_count=sum(frame.items for frame in frames),
            size_bytes=sum(len(frame.payload) for frame in frames),
            reason=reason,
            first_time=times_of(frames[0])[0],
            last_time=times_of(frames[-1])[1],
        )
    )
    report.time.GetCurrentTime()
    return report


def times_of(frame: Frame) -> tuple[Timestamp, Timestamp]:
    """Return the times of the first and the last item of a frame."""
    if frame.service is Service.LOGS:
        entries = AppendLogsRequest.FromString(frame.payload).entries
        return (entries[0].time, entries[-1].time) if entries else (Timestamp(), Timestamp())
    if frame.service is Service.RUNS:
        reports = ReportRunRequest.FromString(frame.payload).reports
        return (reports[0].time, reports[-1].time) if reports else (Timestamp(), Timestamp())
    blocks = AppendMetricsRequest.FromString(frame.payload).blocks
    first, last = Timestamp(), Timestamp()
    if blocks:
        first.FromMilliseconds(min(min(block.times_millis) for block in blocks))
        last.FromMilliseconds(max(max(block.times_millis) for block in blocks))
    return first, last


def items_of(frame: Frame) -> list[Item]:
    """Return the items of a frame, encoded."""
    if frame.service is Service.LOGS:
        entries = AppendLogsRequest.FromString(frame.payload).entries
        return [Item(entry.SerializeToString()) for entry in entries]
    if frame.service is Service.RUNS:
        reports = ReportRunRequest.FromString(frame.payload).reports
        return [Item(report.SerializeToString()) for report in reports]
    blocks = AppendMetricsRequest.FromString(frame.payload).blocks
    return [Item(block.SerializeToString(), len(block.values)) for block in blocks]


def _varint(number: int) -> bytes:
    if number < _LAST_BYTE:
        return number.to_bytes(1, "little")
    digits = bytearray()
    while number >= _LAST_BYTE:
        digits.append(number & 127 | _LAST_BYTE)
        number >>= 7
    digits.append(number)
    return bytes(digits)
