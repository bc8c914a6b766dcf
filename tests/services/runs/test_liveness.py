from dataclasses import replace

import pytest

from trackside_protos.runs.v1.run_state_pb2 import RunState, StateReason
from trackside_runs.liveness import Facts, Timings, Verdict, assess

HOUR = 3_600_000
BEGIN = 1_000_000
BEATING = Facts(
    state=RunState.RUN_STATE_RUNNING,
    reason=StateReason.STATE_REASON_UNSPECIFIED,
    is_parent=False,
    has_authority=True,
    has_reported=True,
    create_ms=BEGIN,
    heard_ms=BEGIN,
    report_ms=BEGIN,
)
UNHEARD = replace(BEATING, state=RunState.RUN_STATE_PENDING, has_reported=False)
ENDED = replace(BEATING, state=RunState.RUN_STATE_COMPLETED, final_ms=BEGIN, open_producer_count=1)


def verdict(facts: Facts, after_ms: int, *, up_since_ms: int = 0) -> Verdict:
    return assess(facts, now_ms=BEGIN + after_ms, up_since_ms=up_since_ms)


def test_three_missed_beats_disconnect() -> None:
    assert verdict(BEATING, 29_999) == Verdict(look_again_ms=BEGIN + 30_000)
    assert verdict(BEATING, 30_000).is_disconnected
    assert verdict(BEATING, 30_000).look_again_ms == BEGIN + 24 * HOUR


def test_the_promised_cadence_counts() -> None:
    slow = replace(BEATING, interval_ms=60_000)

    assert not verdict(slow, 179_999).is_disconnected
    assert verdict(slow, 180_000).is_disconnected


def test_silence_counts_only_while_this_server_was_up() -> None:
    up = BEGIN + 48 * HOUR

    assert verdict(BEATING, 48 * HOUR + 29_999, up_since_ms=up) == Verdict(
        look_again_ms=up + 30_000
    )
    assert verdict(BEATING, 48 * HOUR + 30_000, up_since_ms=up).is_disconnected
    assert verdict(BEATING, 48 * HOUR + 30_000, up_since_ms=up).failure == 0


def test_a_late_message_clears_it() -> None:
    heard = replace(BEATING, heard_ms=BEGIN + 100_000)

    assert not verdict(heard, 100_001).is_disconnected


def test_a_run_is_lost_only_after_the_time_set_for_it() -> None:
    patient = replace(BEATING, lost_after_ms=HOUR)

    assert verdict(patient, HOUR - 1).failure == StateReason.STATE_REASON_UNSPECIFIED
    assert verdict(patient, HOUR).failure == StateReason.STATE_REASON_LOST


def test_a_run_that_never_reported_fails_after_an_hour() -> None:
    assert verdict(UNHEARD, 0) == Verdict(look_again_ms=BEGIN + 30_000)
    assert verdict(UNHEARD, 30_000) == Verdict(is_disconnected=True, look_again_ms=BEGIN + HOUR)
    assert verdict(UNHEARD, HOUR).failure == StateReason.STATE_REASON_NEVER_STARTED


def test_an_hour_of_not_starting_begins_anew_with_the_server() -> None:
    assert verdict(UNHEARD, 2 * HOUR, up_since_ms=BEGIN + 2 * HOUR - 1).failure == 0


@pytest.mark.parametrize(
    "reason",
    [
        StateReason.STATE_REASON_QUEUED,
        StateReason.STATE_REASON_SUBMITTED,
        StateReason.STATE_REASON_WAITING_FOR_INPUT,
        StateReason.STATE_REASON_WAITING_FOR_RESOURCES,
    ],
)
def test_a_run_that_waits_may_wait_for_ever(reason: StateReason.ValueType) -> None:
    waiting = replace(UNHEARD, reason=reason)

    assert verdict(waiting, 1000 * HOUR) == Verdict(is_disconnected=True)


def test_without_a_promised_beat_nothing_is_missed() -> None:
    assert not verdict(replace(BEATING, interval_ms=0), HOUR).is_disconnected


def test_a_run_that_nobody_has_taken_is_not_silent() -> None:
    assert verdict(replace(UNHEARD, has_authority=False), 1000 * HOUR) == Verdict()


def test_a_parent_is_never_silent() -> None:
    parent = replace(BEATING, is_parent=True, task_count=1)

    assert verdict(parent, 1000 * HOUR) == Verdict()


def test_an_idle_run_is_never_silent() -> None:
    assert verdict(replace(BEATING, state=RunState.RUN_STATE_IDLE), 1000 * HOUR) == Verdict()


def test_a_run_whose_tasks_all_ended_stalls_after_five_minutes() -> None:
    beating = replace(BEATING, task_count=3, heard_ms=BEGIN + 300_000)

    assert not verdict(beating, 299_999).is_stalled
    assert verdict(beating, 300_000) == Verdict(
        is_stalled=True, look_again_ms=BEGIN + 300_000 + 30_000
    )


@pytest.mark.parametrize("tasks", [{"task_count": 0}, {"task_count": 3, "open_task_count": 1}])
def test_a_run_without_tasks_or_with_an_open_one_never_stalls(tasks: dict[str, int]) -> None:
    assert not verdict(replace(BEATING, **tasks), 20 * HOUR).is_stalled


def test_a_report_clears_the_stall() -> None:
    reported = replace(BEATING, task_count=3, report_ms=BEGIN + 400_000)

    assert not verdict(reported, 500_000).is_stalled


def test_a_run_is_sealed_when_all_producers_have_closed() -> None:
    assert verdict(ENDED, 0) == Verdict(look_again_ms=BEGIN + 30_000)
    assert verdict(replace(ENDED, open_producer_count=0), 0) == Verdict(is_to_be_sealed=True)


def test_a_run_is_sealed_30_seconds_after_its_end_at_the_latest() -> None:
    assert verdict(ENDED, 30_000) == Verdict(is_to_be_sealed=True)


def test_the_timings_can_be_set() -> None:
    hasty = Timings(missed_beats=1, never_started_after_ms=50, seal_after_ms=5)

    early = assess(BEATING, now_ms=BEGIN + 10_000, up_since_ms=0, timings=hasty)
    sealed = assess(ENDED, now_ms=BEGIN + 5, up_since_ms=0, timings=hasty)

    assert early.is_disconnected
    assert sealed.is_to_be_sealed
