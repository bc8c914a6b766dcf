"""Moves what a run says from its recorder through its spool to the server, and ends it well."""

import contextlib
import os
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from trackside.capture.lines import Line
from trackside.capture.masking import Masker, secrets_of
from trackside.delivery.outbox import Outbox
from trackside.identifiers import new_identifier
from trackside.location import Location
from trackside.session.courier import OnControl, courier
from trackside.session.errands import Errands
from trackside.session.mode import Mode, exit_timeout
from trackside.session.output import Output
from trackside.session.pulse import Pulse
from trackside.session.recorder import NANOS, LineDraft, Recorder
from trackside.session.system_metrics import SystemMetrics, meter_of_this_system
from trackside.spool.folder import Abandoned, Identity, SpoolFolder
from trackside_protos.logs.v1.log_entry_pb2 import LogLevel
from trackside_protos.runs.v1.report_pb2 import Heartbeat, RunReport
from trackside_protos.runs.v1.run_pb2 import Usage
from trackside_protos.runs.v1.runs_service_pb2 import CreateRunRequest

if TYPE_CHECKING:
    from trackside.delivery.delivery import Delivery

HEARTBEAT_SECONDS: Final = 10
_ADOPT_SECONDS: Final = 1.0
_ERRAND_SECONDS: Final = 60.0
_UNREACHABLE_SECONDS: Final = 3.0
_PROGRESS_SECONDS: Final = 30.0
_ENOUGH_FAILURES: Final = 8


class Reporter:
    """The machinery of one run in this process; `Run` is its face.

    `start`, and what ends it, are called by one thread; what the recorder takes in comes from any.
    """

    def __init__(
        self,
        location: Location,
        mode: Mode,
        run_id: str,
        create: CreateRunRequest | None,
        *,
        system_interval: float = 0.0,
    ) -> None:
        """Report this run, and what the system says each so many seconds; 0: nothing of it."""
        self.masker: Masker = Masker(secrets_of(os.environ))
        self.recorder: Recorder = Recorder(self.masker, self.complain)
        self.errands: Errands = Errands(self.complain)
        self.output: Output = Output(run_id, self.recorder, self.masker, self.complain)
        self.is_child: bool = False
        """Whether this process was forked off after the run had begun."""
        self._location = location
        self._mode = mode
        self._run_id = run_id
        self._complaints: set[str] = set()
        self._delivery: Delivery | None = None
        self._on_control: OnControl | None = None
        self._connected = threading.Event()
        self._putting = threading.Lock()
        self._has_forked = False
        self._is_asleep = False
        self._next_heartbeat = time.monotonic() + HEARTBEAT_SECONDS
        self._next_adoption = 0.0
        self._is_authority = create is not None
        self._system_interval = system_interval
        self._system: SystemMetrics | None = None
        self._outbox = self._new_outbox(create)
        self._pulse = Pulse(self._beat, self.complain)

    @property
    def producer_id(self) -> str:
        """Who reports."""
        return self._outbox.identity.producer_id

    def start(self, on_control: OnControl) -> None:
        """Begin to move things. Connects in the background."""
        self._on_control = on_control
        self._pulse.start()
        if self._mode is Mode.ONLINE:
            self.errands.add(self._connect)

    def capture(self) -> None:
        """Take up the standard output and error of this process and its children."""
        self.output.begin(self._location.home / "spool")

    def complain(self, text: str) -> None:
        """Say what went wrong in the run's own log, each thing once; never to the program."""
        text = self.masker.text(text)
        if text in self._complaints:
            return
        self._complaints.add(text)
        self.recorder.add_line(
            LineDraft(
                time.time_ns(),
                LogLevel.LOG_LEVEL_WARNING,
                Line(text),
                "log",
                logger="trackside",
            )
        )

    def stop_capture(self) -> None:
        """Let the output go where it went before, and take up the last of it."""
        self._pulse.stop()
        self.output.end()

    def finish_errands(self) -> None:
        """Wait for what is still found out about the run, within reason."""
        self.errands.finish(_ERRAND_SECONDS)

    def say_last(self, last: Sequence[RunReport]) -> None:
        """Say these last things, behind everything said before."""
        self._pulse.stop()
        if not self._is_asleep:  # as a forked child is that has said nothing
            self._put([*self._last_usage(), *last])
            self._outbox.close()

    def wait_delivered(self) -> None:
        """Wait until all that was said is delivered, within reason; nothing more will be said."""
        if self._is_asleep:
            return
        if self._delivery is not None and self._mode is Mode.ONLINE:
            self._adopt_children(self._delivery)
            self._wait_delivered(self._delivery)
            courier.dismiss(self._location, self.producer_id)
        elif self._mode is Mode.ONLINE and not self.is_child:
            self._warn_kept()

    def say(self, reports: Sequence[RunReport]) -> None:
        """Put this into the spool at once, behind everything said before."""
        self._put(reports)

    def end_killed(self, last: Sequence[RunReport]) -> None:
        """Say these last things while the program still runs; what it says later is ignored."""
        self._put(last)
        self.recorder.mute()
        self._outbox.close()

    def wait_recorded(self) -> None:
        """Return when everything that was said before is in the spool."""
        self._put(())

    def flush(self, timeout: float) -> bool:
        """Wait until everything said so far is acknowledged; say whether it is."""
        end = time.monotonic() + timeout
        if self._mode is not Mode.ONLINE or not self._connected.wait(timeout):
            return False
        delivery = self._delivery
        return delivery is not None and delivery.wait(
            lambda: delivery.is_delivered(self._run_id), end - time.monotonic()
        )

    def before_fork(self) -> None:
        """Note that another process may report to this run from now on."""
        self._has_forked = True

    def become_child(self) -> None:
        """Be a producer of one's own: the parent says what was said before the fork."""
        self.is_child = True
        self.output.leave_to_parent()
        self._delivery = None
        self._connected = threading.Event()
        self._putting = threading.Lock()
        self._system, self._system_interval = None, 0.0
        self.recorder.clear()
        # Another thread may have been about to use the locks of these.
        self.errands = Errands(self.complain)
        self._pulse = Pulse(self._beat, self.complain)
        self._is_asleep = True
        self.recorder.call_before_next(self._wake_in_child)

    def _wake_in_child(self) -> None:
        self._is_asleep = False
        self._is_authority = False
        self._outbox = self._new_outbox(None)
        self._pulse = Pulse(self._beat, self.complain)
        self._pulse.start()
        utilities = sys.modules.get("multiprocessing.util")
        if utilities is not None:  # its processes end without the handlers of `atexit`
            utilities.Finalize(None, self._end_child, exitpriority=10)

    def _end_child(self) -> None:
        self.finish_errands()
        self.say_last(())
        self.wait_delivered()

    def _new_outbox(self, create: CreateRunRequest | None) -> Outbox:
        identity = Identity(
            run_id=self._run_id,
            producer_id=create.producer_id if create else f"sdk-{new_identifier()}",
            server=self._location.destination,
            abandoned=Abandoned.CRASHED if create else Abandoned.CLOSED,
        )
        return Outbox(SpoolFolder.of(self._location.home, identity), identity, create=create)

    def _connect(self) -> None:
        assert self._on_control is not None
        self._delivery = courier.hire(self._location, self._outbox, self._on_control)
        self._connected.set()

    def _beat(self) -> None:
        now = time.monotonic()
        self.output.take_up(now)
        beats: list[RunReport] = []
        if now >= self._next_heartbeat:
            self._next_heartbeat = now + HEARTBEAT_SECONDS
            # A beat that is kept for later would say nothing true.
            if self._is_authority and self._delivery and self._delivery.reach.connected:
                beats.append(RunReport(heartbeat=Heartbeat()))
                beats[0].time.GetCurrentTime()
        if self._system_interval:
            beats += self._look_at_system()
        self._put(beats)
        if self._has_forked and self._delivery and now >= self._next_adoption:
            self._next_adoption = now + _ADOPT_SECONDS
            self._adopt_children(self._delivery)

    def _look_at_system(self) -> list[RunReport]:
        if self._system is None:
            try:
                meter = meter_of_this_system()
                if meter is not None:
                    self._system = SystemMetrics(self._add_points, meter, self._system_interval)
            finally:  # what cannot be read now will not be later
                self._system_interval = self._system_interval if self._system else 0.0
            return []
        return self._usage() if self._system.look_if_due() else []

    def _add_points(self, values: Mapping[str, float]) -> None:
        # Several programs may attach to one launched run, each with use of its own.
        context = None if self._is_authority else {"process": str(os.getpid())}
        self.recorder.add_points((time.time_ns(), values, None, context))

    def _last_usage(self) -> list[RunReport]:
        # Whatever the system does not tell, the end of the run is told.
        with contextlib.suppress(OSError, ValueError):
            if self._system_interval and self._system is None:
                self._look_at_system()  # the program was quicker than the first look
            return self._usage()
        return []

    def _usage(self) -> list[RunReport]:
        """Return the report on what was used, if it is for this process to make."""
        if self._system is None or not self._is_authority:
            return []
        use = self._system.measure()
        report = RunReport(usage=Usage(peak_memory_bytes=use.peak_memory_bytes))
        report.usage.processor_duration.FromNanoseconds(int(use.processor_seconds * NANOS))
        report.time.GetCurrentTime()
        return [report]

    def _put(self, reports: Sequence[RunReport]) -> None:
        with self._putting:  # what was said first must come first
            self._outbox.append(self.recorder.drain())
            if reports:
                self._outbox.report(reports)

    def _adopt_children(self, delivery: "Delivery") -> None:
        if self._has_forked:
            delivery.adopt_run(self._run_id)

    def _wait_delivered(self, delivery: "Delivery") -> None:
        started = time.monotonic()
        allowed = exit_timeout()

        def is_over() -> bool:
            reach, now = delivery.reach, time.monotonic()
            moving = now - reach.last_progress < _UNREACHABLE_SECONDS
            # Nothing failed yet: a busy machine is slow to connect, which is no outage.
            is_hopeful = moving or not reach.failures
            longest = _PROGRESS_SECONDS if is_hopeful else _UNREACHABLE_SECONDS
            hopeless = not reach.ever and reach.failures >= _ENOUGH_FAILURES
            waited = now - started
            return (
                delivery.is_delivered(self._run_id)
                or waited >= (longest if allowed is None else allowed)
                or (hopeless and allowed is None)
            )

        delivery.wait(is_over, float("inf"))
        if not delivery.is_delivered(self._run_id):
            self._warn_kept()

    def _warn_kept(self) -> None:
        failure = self._delivery.reach.failure if self._delivery else None
        spool = self._outbox.spool
        kept = spool.folder.path.parent
        fate = f"kept in {kept}, and an agent, the next program or `trackside sync` sends it"
        if spool.failure is not None:
            fate = f"lost in part, for it could not be kept either: {spool.failure}"
        courier.warn(
            f"run {self._run_id} is not yet delivered"
            f"{f' ({failure.message})' if failure else ''}; it is {fate}"
        )
