import pytest
from hypothesis import given
from hypothesis import strategies as st

from trackside_journal.windows import AHEAD_LIMIT, REMEMBERED, ProducerWindow, Verdict


def window_through(through: int, *, epoch: int = 1) -> ProducerWindow:
    window = ProducerWindow()
    for sequence in range(1, through + 1):
        window.take(epoch=epoch, sequence=sequence, checksum=checksum_of(sequence))
    return window


def checksum_of(sequence: int) -> int:
    return sequence * 7919 % 2**32


def verdict(window: ProducerWindow, sequence: int, *, epoch: int = 1) -> Verdict:
    return window.judge(epoch=epoch, sequence=sequence, checksum=checksum_of(sequence))


@given(through=st.integers(0, 300))
def test_the_next_batch_is_taken(through: int) -> None:
    window = window_through(through)

    assert verdict(window, through + 1) is Verdict.TAKE


@given(through=st.integers(1, 300), data=st.data())
def test_what_was_taken_is_a_duplicate_for_ever(through: int, data: st.DataObject) -> None:
    window = window_through(through)

    sequence = data.draw(st.integers(1, through))

    assert verdict(window, sequence) is Verdict.DUPLICATE


@given(through=st.integers(1, 300), back=st.integers(0, REMEMBERED - 1))
def test_other_bytes_for_one_of_the_last_64_are_a_conflict(through: int, back: int) -> None:
    window = window_through(through)
    sequence = max(1, through - back)

    found = window.judge(epoch=1, sequence=sequence, checksum=checksum_of(sequence) ^ 1)

    assert found is Verdict.CONFLICT


def test_other_bytes_for_an_older_one_are_not_noticed() -> None:
    window = window_through(REMEMBERED + 1)

    found = window.judge(epoch=1, sequence=1, checksum=checksum_of(1) ^ 1)

    assert found is Verdict.DUPLICATE


@pytest.mark.parametrize("through", [0, 1, 100])
def test_up_to_32_ahead_are_held_and_further_ones_not(through: int) -> None:
    window = window_through(through)

    assert verdict(window, through + 2) is Verdict.HOLD
    assert verdict(window, through + AHEAD_LIMIT) is Verdict.HOLD
    assert verdict(window, through + AHEAD_LIMIT + 1) is Verdict.GAP


def test_a_later_epoch_begins_with_batch_1() -> None:
    window = window_through(5)

    assert verdict(window, 1, epoch=2) is Verdict.TAKE
    assert verdict(window, 6, epoch=2) is Verdict.HOLD


def test_judging_changes_nothing() -> None:
    window = window_through(5)
    window.changed = False

    verdict(window, 1, epoch=2)
    verdict(window, 99, epoch=9)

    assert verdict(window, 6) is Verdict.TAKE
    assert not window.changed


def test_an_epoch_is_stale_once_a_later_one_has_begun() -> None:
    window = window_through(5)

    window.take(epoch=2, sequence=1, checksum=0)

    assert verdict(window, 6) is Verdict.STALE
    assert verdict(window, 2, epoch=2) is Verdict.TAKE


def test_a_later_epoch_forgets_the_checksums_of_the_one_before() -> None:
    window = window_through(5)

    window.take(epoch=2, sequence=1, checksum=checksum_of(1))

    assert verdict(window, 1, epoch=2) is Verdict.DUPLICATE
    assert window.through_in(2) == 1
    assert window.through_in(3) == 0
