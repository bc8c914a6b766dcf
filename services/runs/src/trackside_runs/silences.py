"""What is known of a run's silence: from its record to the rules of liveness."""

from dataclasses import dataclass, field

from trackside_protos.runs.v1 import run_state_pb2
from trackside_runs.liveness import Facts, Timings, Verdict, assess
from trackside_runs.record import RunRecord
from trackside_serving.clock import SERVERS_APART_MS

_SOON_MS = 1000


@dataclass(slots=True)
class Silences:
    """How silence is judged on this server."""

    up_since_ms: int
    """Since when it has been hearing without a break."""
    timings: Timings = field(default_factory=Timings)

    def judge(self, record: RunRecord, *, now_ms: int) -> Verdict:
        """Return what a run's silence means now."""
        return assess(
            _facts(record, latest_ms=now_ms + SERVERS_APART_MS, else_ms=self.up_since_ms),
            now_ms=now_ms,
            up_since_ms=self.up_since_ms,
            timings=self.timings,
        )

    def look_at_ms(self, record: RunRecord, *, now_ms: int) -> int:
        """Return when to look at a run again; 0: never."""
        if record.message.sealed:
            return 0
        if record.is_ended and record.has_open_tasks:
            return now_ms  # to be aborted
        verdict = self.judge(record, now_ms=now_ms)
        if is_news(verdict, record):
            return now_ms + _SOON_MS
        return verdict.look_again_ms or 0


def is_news(verdict: Verdict, record: RunRecord) -> bool:
    """Whether a verdict says what does not hold of the record yet."""
    kinds = run_state_pb2.ConditionKind
    return (
        verdict.is_to_be_sealed
        or bool(verdict.failure)
        or (verdict.is_disconnected and not record.has_condition(kinds.CONDITION_KIND_DISCONNECTED))
        or (verdict.is_stalled and not record.has_condition(kinds.CONDITION_KIND_STALLED))
    )


def _facts(record: RunRecord, *, latest_ms: int, else_ms: int) -> Facts:
    """Return what is known of a run.

    What seems to come from the future was noted before this server's clock was set back, while
    it was down: as far as it knows, that was when it came up.
    """

    def known(noted_ms: int) -> int:
        return noted_ms if noted_ms <= latest_ms else else_ms

    run, counts = record.message, record.message.task_counts
    create_ms = run.create_time.ToMilliseconds()
    return Facts(
        state=run.state,
        reason=run.state_reason,
        is_parent=run.is_parent,
        has_authority=bool(record.facts.authority),
        has_reported=record.facts.has_reported,
        create_ms=known(create_ms),
        heard_ms=known(record.heartbeat_ms or create_ms),
        report_ms=known(record.report_ms or create_ms),
        interval_ms=run.heartbeat_interval.ToMilliseconds(),
        lost_after_ms=run.lost_after_duration.ToMilliseconds(),
        task_count=record.facts.task_count,
        open_task_count=counts.pending + counts.submitted + counts.running,
        final_ms=known(record.facts.final_ms),
        open_producer_count=len(record.facts.open_producers),
    )
