"""One delivery and what a test puts into it."""

from trackside.delivery.delivery import Delivery
from trackside.delivery.outbox import Outbox
from trackside.spool.folder import Abandoned
from trackside_protos.logs.v1.log_entry_pb2 import LogEntry
from trackside_protos.metrics.v1.series_pb2 import PointBlock
from trackside_protos.runs.v1.run_pb2 import Run
from trackside_protos.runs.v1.runs_service_pb2 import CreateRunRequest

RUN = "jh8p126nr3yqhrn8"


def create(run_id: str = RUN, name: str = "") -> CreateRunRequest:
    """Return the request that creates a run of the producer `sdk-1`."""
    return CreateRunRequest(run=Run(run_id=run_id, name=name), producer_id="sdk-1")


def open_run(delivery: Delivery, run_id: str = RUN) -> Outbox:
    """Open the outbox of such a run."""
    return delivery.open(run_id, "sdk-1", create=create(run_id), abandoned=Abandoned.CRASHED)


def lines(*messages: str) -> list[LogEntry]:
    """Return log entries that say this."""
    return [LogEntry(message=message) for message in messages]


def point(value: float) -> list[PointBlock]:
    """Return one point of one series."""
    return [PointBlock(key="k", steps=[0], times_millis=[0], values=[value])]


def finished(delivery: Delivery) -> bool:
    """Wait until all is delivered; say whether it is."""
    return delivery.wait(lambda: not delivery.left(), 60)
