"""A producer of its own run that says when its batches were acknowledged, to the millisecond."""

import queue
import secrets
from collections.abc import Iterator

from support.plain_client import PlainClient
from trackside_protos.producers.v1.batch_pb2 import Batch
from trackside_protos.runs.v1.report_pb2 import (
    AttributesReport,
    ProducerClosed,
    RunReport,
    StateReport,
)
from trackside_protos.runs.v1.run_pb2 import Run
from trackside_protos.runs.v1.run_state_pb2 import RUN_STATE_COMPLETED
from trackside_protos.runs.v1.runs_service_pb2 import (
    CreateRunRequest,
    ReportRunRequest,
    ReportRunResponse,
)


class Probe:
    """Reports, one batch at a time; a batch that was not acknowledged is sent again."""

    def __init__(self, run_id: str) -> None:
        self.run_id = run_id
        self.producer_id = f"probe-{secrets.token_hex(6)}"
        self.acknowledged = 0

    def create(self, client: PlainClient) -> None:
        """Create the run, with this producer as its authority."""
        request = CreateRunRequest(
            run=Run(run_id=self.run_id, name="probe"), producer_id=self.producer_id
        )
        client.call(client.runs.CreateRun, request)

    def report_until(self, client: PlainClient, batches: int) -> None:
        """Return right after so many further batches were acknowledged.

        Raises:
            grpc.RpcError: The server is gone.
        """
        self._exchange(client, [self._label(n) for n in self._next(batches)])

    def close(self, client: PlainClient) -> None:
        """End the run and say that nothing more comes."""
        ended = RunReport(state=StateReport(state=RUN_STATE_COMPLETED))
        closed = RunReport(closed=ProducerClosed())
        self._exchange(client, [self._batch(self.acknowledged + 1, ended, closed)])

    def _next(self, count: int) -> range:
        return range(self.acknowledged + 1, self.acknowledged + count + 1)

    def _label(self, number: int) -> ReportRunRequest:
        attributes = AttributesReport(labels={"n": str(number)})
        return self._batch(number, RunReport(attributes=attributes))

    def _batch(self, number: int, *reports: RunReport) -> ReportRunRequest:
        batch = Batch(run_id=self.run_id, producer_id=self.producer_id, epoch=1, sequence=number)
        return ReportRunRequest(batch=batch, reports=reports)

    def _exchange(self, client: PlainClient, requests: list[ReportRunRequest]) -> None:
        outgoing: queue.SimpleQueue[ReportRunRequest | None] = queue.SimpleQueue()

        def sent() -> Iterator[ReportRunRequest]:
            while (request := outgoing.get()) is not None:
                yield request

        stream = client.runs.ReportRun(sent(), metadata=client.metadata, timeout=60.0)
        try:
            for request in requests:
                outgoing.put(request)
                self._await(stream, request.batch.sequence)
        finally:
            outgoing.put(None)
            stream.cancel()

    def _await(self, stream: Iterator[ReportRunResponse], number: int) -> None:
        while self.acknowledged < number:
            response = next(stream)
            self.acknowledged = max(self.acknowledged, response.acknowledgement.through_sequence)
