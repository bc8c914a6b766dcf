"""Follows a run that a supervisor holds: its output from an offset on, then its end."""

import time
from contextlib import ExitStack
from typing import Final

from trackside_plugin_interface import Ending, EndReason, Reporter, RunState, Usage
from trackside_runner_local import ending, frames, processes, records
from trackside_runner_local.machine import describe_machine
from trackside_runner_local.presence import Presence, recorded

STREAMS: Final = {frames.STDOUT: "stdout", frames.STDERR: "stderr"}

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
        with ExitStack() as stack:
            supervisor = stack.enter_context(Presence(recorded(start, "supervisor")))
            await self._report_output(supervisor)
            try:
                exit_record = records.read(self._folder, records.EXIT)
            except FileNotFoundError:
                process = stack.enter_context(Presence(recorded(start, "process")))
                end = await self._end_without_supervisor(start, process)
                self._report_usage(records.USAGE)
                self._reporter.finished(end)
                return
        self._report_usage(records.EXIT)
        self._reporter.finished(_ending(exit_record))

    async def _end_without_supervisor(self, start: records.Record, process: Presence) -> Ending:
        """Keep the time limit and end what is left behind, now that nobody else does."""
        limit = records.read(self._folder, records.LAUNCH).get("time_limit_seconds")
        begin = start["start_time"]
        left = None
        if isinstance(limit, int | float) and isinstance(begin, float):
            left = max(0.0, begin + limit - time.time())
        await process.wait(left)
        has_ended = process.ended.is_set()
        if not records.exists(self._folder, records.TOLD):  # or else it is given time to clean up
            await ending.kill(self._run_id, self._folder)
        if has_ended:
            return Ending(message=_guess(start))
        return Ending(reason=EndReason.TIME_LIMIT, message=f"the limit is {limit:g} s")

    def _report_start(self, start: records.Record) -> None:
        begin = start["start_time"]
        process = recorded(start, "process")
        self._reporter.state(RunState.RUNNING, time=begin if isinstance(begin, float) else None)
        self._reporter.machine(describe_machine(0 if process is None else process.pid))

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

    async def _report_output(self, supervisor: Presence) -> None:
        """Report output until the supervisor has ended and everything is reported."""
        seconds = BUSY_SECONDS
        while True:
            ended = supervisor.ended.is_set()  # asked first: what is read after is all
            if time.monotonic() >= self._usage_time:
                self._usage_time = time.monotonic() + USAGE_SECONDS
                self._report_usage(records.USAGE)
            if self._read(ended=ended):
                await self._reporter.drain()
                seconds = BUSY_SECONDS
            elif ended:
                return
            else:
                await supervisor.wait(seconds)
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


def _guess(start: records.Record) -> str:
    if start["boot_id"] != processes.boot_id():
        return "the machine was started anew while the command ran"
    return "its supervisor was killed, so that nobody saw how the command ended"
