"""The way out of one producer of one run: what is said here is kept until it is delivered."""

import threading
from collections.abc import Callable, Iterable, Mapping

from trackside.delivery import wire
from trackside.delivery.wire import Item
from trackside.spool.folder import Identity, SpoolFolder, write_whole
from trackside.spool.frames import Frame, Service
from trackside.spool.writer import Limits, Loss, SpoolWriter
from trackside_protos.logs.v1.log_entry_pb2 import LogEntry
from trackside_protos.metrics.v1.series_pb2 import PointBlock
from trackside_protos.runs.v1.report_pb2 import ProducerClosed, RunReport
from trackside_protos.runs.v1.runs_service_pb2 import CreateRunRequest


class Outbox:
    """Takes what one producer says of one run, encodes it, numbers it and puts it in the spool.

    What was said before a method returns survives the death of this process. Nothing of a
    `durable` one is sent before it would survive the death of the machine, so that a producer that
    goes on from its newest note never says anything twice. May be called from any thread; never
    raises for want of a disk or a server. Needs no `Delivery`: one that is given this outbox later
    delivers what is in it.
    """

    def __init__(
        self,
        folder: SpoolFolder,
        identity: Identity,
        *,
        create: CreateRunRequest | None = None,
        limits: Limits | None = None,
        note: bytes = b"",
        durable: bool = False,
    ) -> None:
        self.identity = identity
        self.create = create
        self.spool: SpoolWriter = SpoolWriter(
            folder,
            identity,
            substitute=wire.substitute,
            limits=limits,
            note=note,
            durable=durable,
        )
        self.closed: bool = False
        """Whether everything was said."""
        self.wake: Callable[[Service], None] | None = None
        """Told of each service that something was added for; a delivery sets it."""
        self._lock = threading.Lock()
        if create is not None:
            self._keep(create)

    @property
    def note(self) -> bytes:
        """What was put beside the newest addition."""
        return self.spool.note

    def report(self, reports: Iterable[RunReport], *, note: bytes = b"") -> None:
        """Say these things of the run, in order."""
        items = (Item(report.SerializeToString()) for report in reports)
        self.append({Service.RUNS: items}, note=note)

    def log(self, entries: Iterable[LogEntry], *, note: bytes = b"") -> None:
        """Add these log entries, in order."""
        items = (Item(entry.SerializeToString()) for entry in entries)
        self.append({Service.LOGS: items}, note=note)

    def points(self, blocks: Iterable[PointBlock], *, note: bytes = b"") -> None:
        """Add these points. For many, `encode_blocks` with `append` is faster."""
        items = (Item(block.SerializeToString(), len(block.values)) for block in blocks)
        self.append({Service.METRICS: items}, note=note)

    def append(self, items: Mapping[Service, Iterable[Item]], *, note: bytes = b"") -> None:
        """Add encoded items to several services in one write.

        The note replaces the one before in the same write. A producer keeps in it how far it has
        read its own input, so that after a crash it goes on exactly behind what it said.
        """
        frames = [
            frame for service, each in items.items() for frame in wire.frames_of(service, each)
        ]
        if frames and note:
            last = frames[-1]
            frames[-1] = Frame(last.service, 0, last.payload, last.items, note)
        self._add(frames)

    def report_gap(self, lost: list[Frame], reason: str) -> None:
        """Say that the contents of these frames, all of one service, were lost."""
        self.report([wire.gap_report(lost, reason)])

    def close(self) -> None:
        """Say that this producer has said everything. What comes later is ignored.

        The last report is delivered only after everything else was acknowledged.
        """
        with self._lock:
            if self.closed:
                return
            self._write([self._closing_frame()])
            self.closed = True
            self.spool.close()
        self._tell({Service.RUNS})

    def _closing_frame(self) -> Frame:
        last = self.spool.last
        report = RunReport(
            closed=ProducerClosed(
                logs_batch_count=last[Service.LOGS], metrics_batch_count=last[Service.METRICS]
            )
        )
        report.time.GetCurrentTime()
        frame = next(wire.frames_of(Service.RUNS, [Item(report.SerializeToString())]))
        return Frame(Service.RUNS, 0, frame.payload, closing=True)

    def _add(self, frames: list[Frame]) -> None:
        if not frames:
            return
        with self._lock:
            if self.closed:
                return
            self._write(frames)
        self._tell({frame.service for frame in frames})

    def _tell(self, services: set[Service]) -> None:
        if self.wake is not None:
            for service in services:
                self.wake(service)

    def _write(self, frames: list[Frame]) -> None:
        losses = self.spool.append(frames)
        while losses:
            losses = self.spool.append(_gap_frame(loss) for loss in losses)

    def _keep(self, create: CreateRunRequest) -> None:
        try:
            self.spool.folder.make()
            write_whole(
                self.spool.folder.create_request,
                Frame(Service.HEADER, 0, create.SerializeToString()).encode(),
            )
        except OSError as error:
            self.spool.failure = error


def _gap_frame(loss: Loss) -> Frame:
    report = wire.gap_report(loss.frames, loss.reason)
    return next(wire.frames_of(Service.RUNS, [Item(report.SerializeToString())]))
