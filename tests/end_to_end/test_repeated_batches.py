import queue
import random
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import grpc
import pytest

from support.eventually import eventually
from support.plain_client import PlainClient
from support.store_rows import StoreRows, digest
from support.whole_installation import WholeInstallation
from trackside.identifiers import new_identifier
from trackside_protos.logs.v1.log_entry_pb2 import LogEntry, LogLevel
from trackside_protos.logs.v1.logs_service_pb2 import AppendLogsRequest
from trackside_protos.metrics.v1.metrics_service_pb2 import AppendMetricsRequest
from trackside_protos.metrics.v1.series_pb2 import PointBlock
from trackside_protos.producers.v1.batch_pb2 import Batch
from trackside_protos.runs.v1.report_pb2 import RunReport
from trackside_protos.runs.v1.run_pb2 import Run
from trackside_protos.runs.v1.runs_service_pb2 import CreateRunRequest, ReportRunRequest
from trackside_protos.runs.v1.task_pb2 import TASK_STATE_RUNNING, Task

pytestmark = pytest.mark.end_to_end

BATCHES: Final = 320
WINDOW: Final = 32
TIMES: Final = 3
CONNECTIONS: Final = 2


@pytest.fixture
def clients(installation: WholeInstallation) -> Iterator[list[PlainClient]]:
    token = (installation.home / "token").read_text()
    opened = [PlainClient(installation.address, token) for _ in range(CONNECTIONS)]
    yield opened
    for client in opened:
        client.__exit__()


class Connection:
    """One stream of batches, and the number up to which it said that they are stored."""

    def __init__(self, method: Callable[..., Any], client: PlainClient) -> None:
        self.through = 0
        self.failure: grpc.RpcError | None = None
        self._outgoing: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._stream = method(iter(self._outgoing.get, None), metadata=client.metadata)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def send(self, request: object) -> None:
        self._outgoing.put(request)

    def close(self) -> None:
        self._outgoing.put(None)
        self._reader.join(60)
        assert not self._reader.is_alive()
        assert self.failure is None

    def _read(self) -> None:
        try:
            for response in self._stream:
                self.through = max(self.through, response.acknowledgement.through_sequence)
        except grpc.RpcError as error:
            self.failure = error


def send_all(connections: Sequence[Connection], requests: Sequence[object]) -> None:
    """Send every request three times, shuffled within a window, over all connections."""
    chance = random.Random(32)  # noqa: S311 - a test's own
    for start in range(0, len(requests), WINDOW):
        window = list(requests[start : start + WINDOW]) * TIMES
        chance.shuffle(window)
        for request in window:
            chance.choice(connections).send(request)
        through = start + WINDOW
        eventually(lambda through=through: max(c.through for c in connections) >= through)
    for connection in connections:
        connection.close()


def created(client: PlainClient, producer_id: str) -> str:
    run = Run(run_id=new_identifier(), name="repeated")
    request = CreateRunRequest(run=run, producer_id=producer_id)
    return client.call(client.runs.CreateRun, request).run.run_id


def batches(run_id: str) -> Iterator[Batch]:
    for number in range(1, BATCHES + 1):
        yield Batch(run_id=run_id, producer_id="repeater", epoch=1, sequence=number)


@pytest.fixture
def rows(installation: WholeInstallation) -> StoreRows:
    return StoreRows(installation.home / "data")


def test_log_entries_sent_three_times_are_stored_once_in_order(
    clients: list[PlainClient], rows: StoreRows
) -> None:
    run_id = created(clients[0], "repeater")
    entries = [
        LogEntry(message=f"entry {n}", level=LogLevel.LOG_LEVEL_INFO) for n in range(BATCHES * 2)
    ]
    requests = [
        AppendLogsRequest(batch=batch, entries=entries[2 * n : 2 * n + 2])
        for n, batch in enumerate(batches(run_id))
    ]

    send_all([Connection(c.logs.AppendLogs, c) for c in clients], requests)

    expected = [(n, digest(entry)) for n, entry in enumerate(entries, start=1)]
    listed = [(n, digest(entry)) for n, entry in clients[0].log_entries(run_id)]
    assert listed == rows.log_entries(run_id) == expected


def test_points_sent_three_times_are_stored_once_in_order(
    clients: list[PlainClient], rows: StoreRows
) -> None:
    run_id = created(clients[0], "repeater")
    requests = [
        AppendMetricsRequest(
            batch=batch,
            blocks=[PointBlock(key="k", steps=[n], times_millis=[1000 + n], values=[n / 7])],
        )
        for n, batch in enumerate(batches(run_id))
    ]

    send_all([Connection(c.metrics.AppendMetrics, c) for c in clients], requests)

    (series,) = clients[0].points(run_id)
    assert list(series.points.steps) == list(range(BATCHES))
    assert list(series.points.values) == [n / 7 for n in range(BATCHES)]
    assert rows.block_sequences(run_id) == list(range(1, BATCHES + 1))


def test_reports_sent_three_times_are_stored_once_in_order(
    clients: list[PlainClient], rows: StoreRows
) -> None:
    run_id = created(clients[0], "repeater")
    requests = [
        ReportRunRequest(
            batch=batch,
            reports=[
                RunReport(
                    task=Task(task_id=f"t{n}", name=f"t{n}", process="p", state=TASK_STATE_RUNNING)
                )
            ],
        )
        for n, batch in enumerate(batches(run_id), start=1)
    ]

    send_all([Connection(c.runs.ReportRun, c) for c in clients], requests)

    changes = list(clients[0].changes(run_id))
    tasks = [change.task.task.task_id for change in changes if change.HasField("task")]
    assert tasks == [f"t{n}" for n in range(1, BATCHES + 1)]
    assert clients[0].run(run_id).task_counts.running == BATCHES
    assert [(c.sequence, digest(c)) for c in changes] == rows.changes(run_id)
