"""What is added to runs and tasks when they are shown: what goes on counting."""

from google.protobuf.duration_pb2 import Duration

from trackside_protos.runs.v1 import run_pb2, task_pb2
from trackside_runs.estimates import elapsed_ms
from trackside_serving.clock import forward_clock

_now_ms = forward_clock()


def present(run: run_pb2.Run) -> run_pb2.Run:
    """Complete a run for showing, in place, and return it."""
    start, end = run.start_time.ToMilliseconds(), run.end_time.ToMilliseconds()
    if start:
        run.elapsed_duration.CopyFrom(_duration(elapsed_ms(start, end, now_ms=_now_ms())))
    return run


def present_task(task: task_pb2.Task) -> task_pb2.Task:
    """Complete a task for showing, in place, and return it."""
    start, end = task.start_time.ToMilliseconds(), task.end_time.ToMilliseconds()
    if start:
        task.elapsed_duration.CopyFrom(_duration(elapsed_ms(start, end, now_ms=_now_ms())))
    return task


def _duration(milliseconds: int) -> Duration:
    duration = Duration()
    duration.FromMilliseconds(milliseconds)
    return duration
