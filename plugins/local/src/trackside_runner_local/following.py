"""Follows a run that a supervisor holds: its output from an offset on, then its end."""

import time
from typing import Final

from trackside_plugin_interface import Ending, EndReason, Reporter, RunState, Usage
from trackside_runner_local import frames, records
from trackside_runner_local.machine import describe_machine
from trackside_runner_local.presence import Presence, is_over, see_to_it_that_it_is_held
from trackside_runner_local.processes import Process

STREAMS: Final = {frames.STDOUT: "stdout", frames.STDERR: "stderr"}

ANOTHER_BOOT: Final = "the machine was started anew while the command ran"

BUSY_SECONDS: Final = 0.03
QUIET_SECONDS: Final = 0.25
SLOWING: Final = 1.25
"""How often output is looked for: soon after some was found, and less and less often then."""

USAGE_SECONDS: Final = 2.0
"""How often it is looked for what the run uses, which the supervisor writes down less often."""


class Follower:
    """Follows one run."""

    def __init__(self, run_id: str, folder: str, reporter: Reporter) -> None:
        self._run_id = run_id
        self._folder = folder
        self._reporter = reporter
        self._offset = int(reporter.position or 0)
        self._usage_time = 0.0

    async def follow(self) -> None:
        """Report what happens until the run has ended. May be cancelled at any time."""
        try:
            start = records.read(self._folder, records.START)
        except FileNotFoundError:
            self._reporter.finished(Ending(message="the record of its start is gone"))
            return
        self._report_start(start)
        while not await self._is_reported(start):
            await see_to_it_that_it_is_held(self._folder)
        end = records.read_if_there(self._folder, records.EXIT)
        self._report_usage(records.EXIT if end else records.USAGE)
        self._reporter.finished(_ending(end) if end else Ending(message=ANOTHER_BOOT))

    def _report_start(self, start: records.Record) -> None:
        begin = start["start_time"]
        process = Process.of(start["process"])
        self._reporter.state(RunState.RUNNING, time=begin if isinstance(begin, float) else None)
        self._reporter.machine(describe_machine(process.pid))

    def _report_usage(self, name: str) -> None:
        """Report what the run has used, if a file says it."""
        try:
            record = records.read(self._folder, name)
        except FileNotFoundError:
            return
        seconds, peak = record.get("processor_seconds"), record.get("peak_memory_bytes")
        if isinstance(seconds, float) and isinstance(peak, int):
            usage = Usage(processor_seconds=seconds, peak_memory_bytes=peak)
            self._reporter.usage(usage)

    async def _is_reported(self, start: records.Record) -> bool:
        """Report output while the run is held, and return whether it has ended."""
        seconds = BUSY_SECONDS
        with Presence(self._folder) as presence:
            while True:
                is_held = not presence.ended.is_set()  # asked first: what is read after is all
                has_ended = not is_held and is_over(self._folder, start)
                if time.monotonic() >= self._usage_time:
                    self._usage_time = time.monotonic() + USAGE_SECONDS
                    self._report_usage(records.USAGE)
                if self._read(ended=has_ended):
                    await self._reporter.drain()
                    seconds = BUSY_SECONDS
                elif not is_held:
                    return has_ended
                else:
                    await presence.wait(seconds)
                    seconds = min(seconds * SLOWING, QUIET_SECONDS)

    def _read(self, *, ended: bool) -> bool:
        """Report some output, and return whether there was any."""
        before = self._offset
        path = f"{self._folder}/{records.OUTPUT}"
        for written, stream, piece, position in frames.read_frames(path, before, ended=ended):
            data, name = piece, STREAMS.get(stream, "engine")
            if stream == frames.LOST:
                data = b"%b bytes of output were lost: the disk was full\n" % piece
            self._reporter.write(data, stream=name, time=written / 1e9, position=str(position))
            self._offset = position
        return self._offset > before


def _ending(record: records.Record) -> Ending:
    code, number = record.get("exit_code"), record.get("exit_signal")
    end, left_behind = record.get("end_time"), record.get("left_behind")
    message = str(record.get("refused") or record.get("message") or "")
    reason, on_request = record.get("reason"), record.get("on_request")
    if left_behind:
        message = f"{left_behind} processes that outlived the command were ended with it"
    return Ending(
        exit_code=code if isinstance(code, int) else None,
        exit_signal=number if isinstance(number, int) else None,
        reason=EndReason(str(reason)) if reason else None,
        message=message,
        on_request=on_request if isinstance(on_request, bool) else None,
        time=end if isinstance(end, float) else None,
    )
