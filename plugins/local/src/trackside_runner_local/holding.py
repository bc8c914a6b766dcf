"""The loop that holds one run: keeps what it prints and how it ends, ends it when due."""

import os
import resource
import select
import signal
import time
from contextlib import suppress

from trackside_runner_local import processes, records
from trackside_runner_local.child import UNSTARTED
from trackside_runner_local.family import Children, Exit, Strangers
from trackside_runner_local.fate import Fate
from trackside_runner_local.frames import PIECE_BYTES, STDERR, STDOUT, FrameWriter
from trackside_runner_local.hold import Hold
from trackside_runner_local.meter import Meter
from trackside_runner_local.processes import Process

ENDING_MILLISECONDS = 20

FULL_DISK_SECONDS = 0.5
"""How long to wait for room on the disk, each time."""

FIRST_USAGE_SECONDS, USAGE_SECONDS = 1.0, 10.0
"""When it is first written down what the run uses, and how often then."""

UNSEEN = "its supervisors were killed, so that nobody saw how the command ended"
UNBEGUN = "its supervisor was killed before the command had begun"


class Supervisor:
    """One run in the making: the loop between its output, its end and the commands of the agent.

    What it knows beside what is in the run's other files it writes to `state.json`, so that
    another can go on where it was killed.
    """

    def __init__(self, folder: str, hold: Hold, *, is_ancestor: bool) -> None:
        launch, start = records.read(folder, records.LAUNCH), records.read(folder, records.START)
        command, marker = Process.of(start["process"]), processes.marker(str(launch["run_id"]))
        state = records.read_if_there(folder, records.STATE)
        self._known = processes.listed(state.get("processes"))
        now = time.monotonic()
        self._folder = folder
        self._fate = Fate(now, _number(launch["time_limit_seconds"]))
        self._family = (
            Children(command, marker, self._note_end, self._note_reaped)
            if is_ancestor
            else Strangers(command, marker, self._note_end, self._known)
        )
        self._meter = Meter(self._family.pids, _whole_number(launch["memory_limit_bytes"]))
        self._output = FrameWriter(f"{folder}/{records.OUTPUT}")
        self._streams = {hold.stdout: STDOUT, hold.stderr: STDERR}
        self._control = hold.control
        self._poll = select.poll()
        self._exit: list[object] | None = None
        self._usage_time = now + FIRST_USAGE_SECONDS
        self._left_behind: set[Process] = set()
        self._own = processes.identify(os.getpid())
        self._written: records.Record = {}
        self._has_begun = True
        self._came_late = not is_ancestor

    def go_on(self) -> None:
        """Take over from a supervisor that was killed."""
        usage = records.read_if_there(self._folder, records.USAGE)
        pipes = {stream: pipe for pipe, stream in self._streams.items()}
        self._output.complete(pipes, _whole_number(usage.get("output_bytes")) or 0)
        self._meter.peak_memory_bytes = _whole_number(usage.get("peak_memory_bytes")) or 0
        self._meter.processor_seconds = _number(usage.get("processor_seconds")) or 0.0
        state = records.read_if_there(self._folder, records.STATE)
        self._has_begun = bool(state)
        fate, end = state.get("fate"), state.get("exit")
        if isinstance(fate, dict):
            self._fate.go_on_with(fate)  # pyright: ignore[reportUnknownArgumentType] - what `facts` gave
        if isinstance(end, list):
            self._exit = end
        if records.exists(self._folder, records.TOLD):
            self._fate.note_told()
        self.keep_state()

    def keep_state(self) -> None:
        """Write down what whoever comes after us must know, if it has changed."""
        state: records.Record = {
            "supervisor": [self._own.pid, self._own.start_ticks],
            "fate": self._fate.facts(),
            "exit": self._exit,
            "processes": sorted([one.pid, one.start_ticks] for one in self._known),
        }
        if state != self._written:
            self._written = state
            with suppress(OSError):  # a full disk is no reason to leave the run alone
                records.write_lightly(self._folder, records.STATE, state)

    def run(self) -> None:
        """Hold the run until nothing of it is left and it is written down how it ended."""
        wakeup, self_pipe = os.pipe()
        os.set_blocking(wakeup, False)
        os.set_blocking(self_pipe, False)
        signal.set_wakeup_fd(self_pipe, warn_on_full_buffer=False)
        for descriptor in (*self._streams, self._control, wakeup):
            self._poll.register(descriptor, select.POLLIN)
        self._hold(wakeup)
        while not self._is_written_down():
            time.sleep(FULL_DISK_SECONDS)

    def _hold(self, wakeup: int) -> None:
        while self._family.is_left():
            self._measure()
            self._end_when_due()
            for descriptor, events in self._poll.poll(self._patience()):
                if descriptor in self._streams:
                    self._read(descriptor, events)
                elif descriptor == self._control:
                    self._obey()
                else:
                    os.read(wakeup, PIECE_BYTES)
        for descriptor, stream in self._streams.items():
            while self._output.take(stream, descriptor, time.time_ns()):
                pass
        self._output.sync()

    def _is_written_down(self) -> bool:
        """Write down how the run ended. While the disk is full, nobody else would know."""
        try:
            if self._output.has_said_what_is_lost(time.time_ns()):
                records.write(self._folder, records.EXIT, self._ending())
                return True
        except OSError:
            pass  # nor could that be said in the log, which is on the same disk
        return not os.access(self._folder, os.F_OK)  # it was removed: nobody will ask

    def _note_end(self, end: Exit) -> None:
        """Take note of how the command ended; written down when this returns."""
        self._exit = [end.code, end.signal, time.time()]
        self._fate.note_end_of_command(time.monotonic())
        self.keep_state()

    def _note_reaped(self, usage: resource.struct_rusage) -> None:
        self._meter.note_reaped(usage)

    def _measure(self) -> None:
        """Measure what the run uses, if it is time to, and write it down, if it is time to."""
        now, limit = time.monotonic(), self._meter.memory_limit_bytes
        if now >= self._meter.next_time:
            held = self._meter.measure()
            self._known = list(processes.identified(self._family.pids()))
            if limit is not None:
                self._fate.note_memory(now, held, limit)
        if now >= self._usage_time:
            self._usage_time = now + USAGE_SECONDS
            usage = {**self._usage(), "output_bytes": self._output.size}
            with suppress(OSError):
                records.write_lightly(self._folder, records.USAGE, usage)

    def _end_when_due(self) -> None:
        now = time.monotonic()
        self._fate.note_time(now)
        self.keep_state()  # before it is acted upon: whoever comes after us must go on with that
        if self._fate.is_to_be_told:
            processes.tell(self._family.find)
            self._fate.note_told()
            self._note(records.TOLD, {"time": time.time()})
        if self._fate.is_due(now):
            if self._fate.is_escalating:
                self._fate.note_escalated()
                self._note(records.ESCALATION, {"time": time.time()})
            found = processes.end(self._family.find)
            if self._fate.is_outlived:
                self._left_behind |= found

    def _note(self, name: str, record: records.Record) -> None:
        """Write down once what is being done. That the disk is full keeps nobody from doing it."""
        with suppress(OSError):
            records.write_once(self._folder, name, record)

    def _patience(self) -> int:
        now = time.monotonic()
        if self._fate.is_due(now):
            return ENDING_MILLISECONDS
        seconds = min(self._meter.next_time, self._usage_time, self._fate.next_time) - now
        return max(0, min(int(seconds * 1000) + 1, self._family.patience_milliseconds))

    def _read(self, descriptor: int, events: int) -> None:
        """Write down a piece of output."""
        if events & select.POLLIN:
            self._output.take(self._streams[descriptor], descriptor, time.time_ns())
        else:  # nobody has it open for writing any more, and it is empty
            self._poll.unregister(descriptor)

    def _obey(self) -> None:
        orders = os.read(self._control, PIECE_BYTES)
        self._family.is_left()  # a command that has ended by itself was not ended by an order
        now = time.monotonic()
        for order in orders.splitlines():
            word, _, seconds = order.partition(b" ")
            if word == records.KILL:
                self._fate.kill(now)
            elif word == records.STOP:
                self._fate.stop(now, float(seconds))

    def _ending(self) -> records.Record:
        code, number, end_time = self._exit or (None, None, None)
        if code == UNSTARTED and not self._has_begun:
            code = None
        unknown = UNSEEN if self._has_begun else UNBEGUN
        message = self._fate.message or (unknown if code is number is None else "")
        return {
            "exit_code": code,
            "exit_signal": number,
            "end_time": end_time,
            # What was asked for while there was no supervisor, one that came late does not know.
            "on_request": self._fate.on_request or (None if self._came_late else False),
            "reason": self._fate.reason,
            "message": message,
            "left_behind": len(self._left_behind),
            **self._usage(),
        }

    def _usage(self) -> records.Record:
        return {
            "peak_memory_bytes": self._meter.peak_memory_bytes,
            "processor_seconds": self._meter.processor_seconds,
        }


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def _whole_number(value: object) -> int | None:
    return value if isinstance(value, int) else None
