"""What is said for a producer that is gone without having closed its spool."""

from trackside.delivery import wire
from trackside.delivery.shipment import Shipment
from trackside.delivery.wire import Item
from trackside.spool.folder import Abandoned, SpoolFolder
from trackside.spool.frames import Frame, Service
from trackside_protos.runs.v1.report_pb2 import ProducerClosed, RunReport, StateReport
from trackside_protos.runs.v1.run_state_pb2 import RunState, StateReason


def epilogue(shipment: Shipment) -> list[Frame]:
    """Return the last batches of an abandoned spool, the same however often this is asked.

    They are the same for a copy of it too.
    """
    frames: list[Frame] = []
    last_said_nanos = _last_said_nanos(shipment.folder)
    if shipment.identity.abandoned is Abandoned.CRASHED:
        crashed = RunReport(
            state=StateReport(
                state=RunState.RUN_STATE_FAILED,
                reason=StateReason.STATE_REASON_CRASHED,
                message="The program is gone without a word.",
            )
        )
        crashed.time.FromNanoseconds(last_said_nanos)
        frames += wire.frames_of(Service.RUNS, [Item(crashed.SerializeToString())])
    lanes = shipment.lanes
    closed = RunReport(
        closed=ProducerClosed(
            logs_batch_count=lanes[Service.LOGS].acknowledged,
            metrics_batch_count=lanes[Service.METRICS].acknowledged,
        )
    )
    closed.time.FromNanoseconds(last_said_nanos)
    frames += wire.frames_of(Service.RUNS, [Item(closed.SerializeToString())])
    return frames


def _last_said_nanos(folder: SpoolFolder) -> int:
    """Return when its writer spoke last, by its own words: a file tells when it was copied."""
    said = (wire.times_of(frame)[1].ToNanoseconds() for frame in folder.last_frames())
    return max(said, default=0) or int(folder.last_written() * 1000) * 1_000_000
