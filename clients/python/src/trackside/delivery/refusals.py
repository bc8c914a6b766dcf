"""What to do when the server does not take something: try again, mend it, or leave it."""

import re
from dataclasses import dataclass, replace
from typing import Final

from trackside.client.errors import ErrorFacts, TracksideError
from trackside.delivery import wire
from trackside.delivery.depot import Depot
from trackside.delivery.shipment import Lane, Shipment
from trackside.spool.frames import Frame, Service
from trackside_protos.runs.v1.runs_service_pb2 import CreateRunRequest, ReportRunRequest

LONG_WAIT: Final = 60.0
"""A refused token or run is tried again after so many seconds at most."""

_RETRIED: Final = frozenset(
    {"UNAVAILABLE", "DEADLINE_EXCEEDED", "ABORTED", "CANCELLED", "INTERNAL", "UNKNOWN"}
    | {"UNIMPLEMENTED"}
)
_RETRIED_REASONS: Final = frozenset({"TOO_MANY_STREAMS", "STORAGE_FULL", "SLOW_CONSUMER"})
_INDEX: Final = re.compile(r"(?:^|\.)(?:reports|entries|blocks)\[(\d+)\]")


@dataclass(frozen=True, slots=True)
class Answer:
    """What the end of a stream means for what comes next."""

    again_after: float | None = None
    """Wait so long before the next try; None: as long as after any failure to reach it."""
    doubtful: int = 0
    """Send so many batches one at a time, to find the one that is refused."""


def settle(depot: Depot, service: Service, error: TracksideError, under_way: int) -> Answer:
    """Make what led to the error such that the next try is better. The lock must be held.

    `under_way` says how many batches were; if it was one, it is the one meant.
    """
    facts = error.facts
    lane = _lane_meant(depot, service, facts, alone=under_way == 1)
    if facts.reason == "BATCH_GAP":
        return _close_gap(lane, facts)
    if facts.status in _RETRIED or facts.reason in _RETRIED_REASONS:
        depot.failed(error)
        return Answer()
    if facts.status == "UNAUTHENTICATED":
        depot.failed(error)
        depot.on_warning(f"{depot.location.server} refuses the token: {error.message}")
        return Answer() if _is_exchanged(depot, facts) else Answer(again_after=LONG_WAIT / 2)
    if lane is None:
        return Answer(again_after=0.0 if under_way > 1 else None, doubtful=max(1, under_way))
    sequence = _sequence_meant(lane, facts)
    lane.begin_again()
    _refuse(depot, lane, error, sequence)
    return Answer(again_after=0.0)


def settle_creation(depot: Depot, shipment: Shipment, error: TracksideError) -> None:
    """Make what led to a run not being created such that the next try is better."""
    status = error.status
    if status == "ALREADY_EXISTS":
        depot.on_warning(f"run {shipment.run_id} exists with other contents: {error.message}")
        shipment.set_created(created=True)
    elif status in {"INVALID_ARGUMENT", "FAILED_PRECONDITION"} and shipment.create:
        _simplify(depot, shipment, error)
    elif error.reason == "RUN_DELETED":
        depot.on_warning(f"run {shipment.run_id}: {error.message}")
        shipment.given_up = error.message
    elif status in {"PERMISSION_DENIED", "UNAUTHENTICATED"}:
        _wait_for_a_right(depot, shipment, error)
    else:
        depot.failed(error)
        shipment.wait(0.1, 5.0)


def _wait_for_a_right(depot: Depot, shipment: Shipment, error: TracksideError) -> None:
    depot.failed(error)
    if error.status == "UNAUTHENTICATED":
        depot.on_warning(f"{depot.location.server} refuses the token: {error.message}")
    else:
        depot.on_warning(f"run {shipment.run_id} cannot be created: {error.message}")
    if _is_exchanged(depot, error.facts):
        shipment.wait(0.1, 5.0)
    else:
        shipment.wait(LONG_WAIT / 2, LONG_WAIT)


def _is_exchanged(depot: Depot, facts: ErrorFacts) -> bool:
    """Whether there may soon be another token: a server makes its home one for a revoked one."""
    return facts.reason == "TOKEN_REVOKED" and not depot.location.token


def _simplify(depot: Depot, shipment: Shipment, error: TracksideError) -> None:
    """Ask for less: better a run without its refused fields than none."""
    assert shipment.create is not None
    full = shipment.create.run
    less = CreateRunRequest(producer_id=shipment.create.producer_id)
    less.run.run_id = full.run_id
    if less == shipment.create:
        shipment.given_up = error.message
    else:
        less.run.name = full.name[:256]
        if less == shipment.create:  # it was the name
            less.run.name = ""
        shipment.create = less
    depot.on_warning(f"run {shipment.run_id} was refused as it is: {error.message}")


def _close_gap(lane: Lane | None, facts: ErrorFacts) -> Answer:
    expected = int(facts.metadata.get("expected", "0") or 0)
    if lane is not None and 0 < expected < lane.on_wire(lane.acknowledged + 1):
        # It acknowledged more than it now knows of: its store was replaced or put back.
        lane.restart_at(expected)
        return Answer(again_after=0.1)
    return Answer()


def _refuse(depot: Depot, lane: Lane, error: TracksideError, sequence: int) -> None:
    shipment, reason = lane.shipment, error.reason
    if reason == "BATCH_CONFLICT":
        # The number is taken, so what was sent before under it is stored.
        lane.say_later()
        lane.acknowledge(sequence)
    elif reason in {"STALE_EPOCH", "RUN_DELETED"}:
        shipment.given_up = error.message
        depot.on_warning(f"run {shipment.run_id}: {error.message}")
    elif error.status == "NOT_FOUND":
        shipment.set_created(created=shipment.create is None)
        shipment.wait(0.1, 5.0 if shipment.create else LONG_WAIT)
    elif error.status == "PERMISSION_DENIED":
        depot.on_warning(f"run {shipment.run_id}: {error.message}")
        shipment.wait(LONG_WAIT / 2, LONG_WAIT)
    else:
        _mend(depot, lane, sequence, error)


def _mend(depot: Depot, lane: Lane, sequence: int, error: TracksideError) -> None:
    """Leave out what was refused; the number of the batch must be used."""
    frame = lane.find(sequence)
    shipment = lane.shipment
    depot.on_warning(f"run {shipment.run_id}: the server refused a batch: {error.message}")
    if frame is None or frame.substitute:
        shipment.given_up = error.message
        return
    kept, lost = _without_refused(frame, error.facts)
    lane.replace(sequence, kept)
    shipment.report_gap(lost, f"refused: {error.message}"[:256])


def _without_refused(frame: Frame, facts: ErrorFacts) -> tuple[Frame, Frame]:
    """Return the frame without what the error names, and a frame of what was left out."""
    items = wire.items_of(frame)
    refused = {int(match[1]) for wrong in facts.fields if (match := _INDEX.search(wrong.field))}
    if facts.reason == "ILLEGAL_TRANSITION":
        reports = ReportRunRequest.FromString(frame.payload).reports
        refused |= {index for index, report in enumerate(reports) if report.HasField("state")}
    kept = [item for index, item in enumerate(items) if index not in refused]
    lost = [item for index, item in enumerate(items) if index in refused]
    if not refused or not kept:
        payload = wire.substitute(frame, "because the server refused them")
        return replace(frame, payload=payload, items=1, substitute=True), frame
    payloads = [next(wire.frames_of(frame.service, part)) for part in (kept, lost)]
    return (
        replace(frame, payload=payloads[0].payload, items=payloads[0].items),
        replace(frame, payload=payloads[1].payload, items=payloads[1].items),
    )


def _lane_meant(depot: Depot, service: Service, facts: ErrorFacts, *, alone: bool) -> Lane | None:
    """Return the lane that an error is about; None when it could be several."""
    run_id = facts.metadata.get("run_id", "")
    lanes = [lane for lane in depot.lanes(service) if lane.sent]
    if run_id:
        lanes = [lane for lane in lanes if lane.shipment.run_id == run_id]
    number = facts.metadata.get("batch_sequence", "")
    if number.isdigit():
        lanes = [lane for lane in lanes if lane.find(lane.in_spool(int(number))) is not None]
        return lanes[0] if len(lanes) == 1 else None
    only = lanes[0] if len(lanes) == 1 else None
    return only if only and (alone or only.sent == 1 or _is_of_the_run(facts)) else None


def _is_of_the_run(facts: ErrorFacts) -> bool:
    return facts.status in {"NOT_FOUND", "PERMISSION_DENIED"} or facts.reason in {
        "STALE_EPOCH",
        "BATCH_GAP",
    }


def _sequence_meant(lane: Lane, facts: ErrorFacts) -> int:
    number = facts.metadata.get("batch_sequence", "")
    return lane.in_spool(int(number)) if number.isdigit() else lane.acknowledged + 1
