import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from trackside_protos.runs.v1.scope_pb2 import Scope
from trackside_runs.estimates import (
    Estimate,
    Items,
    elapsed_ms,
    median_of,
    parent_estimate,
    percent_done,
    remaining_ms,
    run_estimate,
    scope_estimate,
)


def scope(path: str, completed: int, total: int | None, *, ended: bool = False) -> Scope:
    message = Scope(path=path, completed_count=completed, total_count=total)
    message.start_time.FromMilliseconds(1_000)
    if ended:
        message.end_time.FromMilliseconds(9_000)
    return message


def items(*durations: int) -> Items:
    return Items(len(durations), 0, durations)


def test_an_item_lasts_from_the_end_of_the_one_before() -> None:
    memory = Items().advanced(scope("fold", 0, 5), 1_000)
    memory = memory.advanced(scope("fold", 1, 5), 3_000)
    memory = memory.advanced(scope("fold", 2, 5), 4_000)

    assert memory == Items(2, 4_000, (2_000, 1_000))


def test_items_that_end_together_share_the_time() -> None:
    memory = Items().advanced(scope("fold", 4, 5), 9_000)

    assert memory.durations_ms == (2_000,) * 4


def test_a_report_without_progress_changes_nothing_but_a_known_begin() -> None:
    memory = Items(2, 4_000, (2_000, 1_000))

    assert memory.advanced(scope("fold", 2, 5), 8_000) == memory


def test_a_new_round_keeps_the_durations() -> None:
    fresh = scope("fold", 0, 5)
    fresh.start_time.CopyFrom(Timestamp(seconds=20))

    memory = items(1_000, 1_000).advanced(fresh, 20_000).advanced(scope("fold", 1, 5), 23_000)

    assert memory == Items(1, 23_000, (1_000, 1_000, 3_000))


def test_a_new_round_that_is_first_heard_of_later_counts_from_its_begin() -> None:
    fresh = scope("fold", 1, 5)
    fresh.start_time.CopyFrom(Timestamp(seconds=20))

    memory = Items(5, 19_000, (1_000,)).advanced(fresh, 23_000)

    assert memory == Items(1, 23_000, (1_000, 3_000))


def test_a_clock_that_goes_back_makes_no_negative_durations() -> None:
    memory = Items(1, 9_000, ()).advanced(scope("fold", 2, 5), 3_000)

    assert memory.durations_ms == (0,)


def test_the_memory_is_bounded_and_survives_its_encoding() -> None:
    memory = Items()
    for count in range(1, 1_000):
        memory = memory.advanced(scope("step", count, None), 1_000 + count * 10)

    assert len(memory.encode()) < 512
    assert Items.decode(memory.encode()) == memory
    assert memory.median_ms == 10


@pytest.mark.parametrize("data", [b"", b"\x00", b"\xff" * 40])
def test_an_unreadable_memory_is_an_empty_one(data: bytes) -> None:
    assert Items.decode(data) == Items()


def test_below_three_ended_items_nothing_is_estimated() -> None:
    assert median_of([5, 5]) is None
    assert remaining_ms([5, 5], left=3) is None
    assert remaining_ms([5, 6, 90], left=4, concurrency=2) == 12


def test_a_scope_tells_its_own_percent_and_time() -> None:
    assert scope_estimate(scope("fold", 3, 5), items(10, 10, 10)) == Estimate(60.0, 20)
    assert scope_estimate(scope("fold", 3, None), items(10, 10, 10)) == Estimate()
    assert scope_estimate(scope("fold", 5, 5, ended=True), items(10, 10, 10)) == Estimate(100.0)
    assert scope_estimate(scope("fold", 0, 0), Items()).percent == 100.0


def test_a_run_counts_the_part_of_the_current_item() -> None:
    estimate = run_estimate(
        [
            (scope("variant", 2, 4), items(50, 50, 50)),
            (scope("variant/fold", 1, 2), items(10, 10, 10)),
        ]
    )

    assert estimate.percent == pytest.approx(62.5)
    assert estimate.remaining_ms == (1 + 1 * 2) * 10


def test_a_scope_between_that_does_not_count_is_passed_over() -> None:
    estimate = run_estimate(
        [
            (scope("variant", 0, 2), Items()),
            (scope("variant/branch", 0, None), Items()),
            (scope("variant/branch/fold", 1, 2), items(10, 10, 10)),
        ]
    )

    assert estimate == Estimate(25.0, 30)


def test_an_ended_inner_scope_leaves_the_estimate_to_the_outer_one() -> None:
    estimate = run_estimate(
        [
            (scope("variant", 3, 4), items(50, 50, 50)),
            (scope("variant/fold", 2, 2, ended=True), items(10, 10, 10)),
        ]
    )

    assert estimate == Estimate(75.0, 50)


def test_several_outermost_scopes_count_alike() -> None:
    estimate = run_estimate(
        [(scope("load", 2, 2, ended=True), Items()), (scope("fit", 0, 4), Items())]
    )

    assert estimate == Estimate(50.0)


def test_without_a_total_nothing_is_known() -> None:
    assert run_estimate([(scope("step", 7, None), items(1, 1, 1))]) == Estimate()
    assert run_estimate([]) == Estimate()


def test_a_run_that_broke_off_is_as_far_as_it_had_gone_through_its_scopes() -> None:
    done = percent_done(
        [scope("variant", 1, 3, ended=True), scope("variant/fold", 3, 5, ended=True)]
    )

    assert done == pytest.approx(100 * 1.6 / 3)


def test_what_had_ended_before_a_run_broke_off_counts_whole() -> None:
    enough = scope("search", 3, 100, ended=True)
    later = scope("fit", 1, 4, ended=True)
    later.start_time.FromMilliseconds(9_000)
    later.end_time.FromMilliseconds(9_500)

    assert percent_done([enough, later]) == pytest.approx(62.5)
    assert percent_done([enough, later, scope("note", 0, None)]) == pytest.approx(62.5)


def test_an_inner_round_that_was_gone_through_is_no_item_of_the_outer_one_yet() -> None:
    rounds = [scope("variant", 1, 2, ended=True), scope("variant/fold", 5, 5, ended=True)]

    assert percent_done(rounds) == pytest.approx(50)


def test_without_a_total_nobody_knows_how_far_a_run_came() -> None:
    assert percent_done([scope("step", 7, None)]) is None


def test_a_parent_is_as_far_as_its_children_on_average() -> None:
    estimate = parent_estimate(
        total=10, ended=4, open_percent=100, durations_ms=[60, 70, 80, 900], concurrency=2
    )

    assert estimate == Estimate(50.0, round(75 * 5 / 2))


def test_a_parent_without_children_knows_nothing() -> None:
    estimate = parent_estimate(total=0, ended=0, open_percent=0, durations_ms=[], concurrency=0)

    assert estimate == Estimate()


def test_time_elapses_to_the_end_or_to_now() -> None:
    assert elapsed_ms(1_000, 4_000, now_ms=9_000) == 3_000
    assert elapsed_ms(1_000, 0, now_ms=9_000) == 8_000
    assert elapsed_ms(0, 0, now_ms=9_000) == 0
    assert elapsed_ms(5_000, 4_000, now_ms=9_000) == 0
