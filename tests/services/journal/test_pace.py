import pytest

from trackside_journal.pace import GAP_SECONDS, SIBLINGS, Pace


class Time:
    """A clock that sleeping moves on."""

    def __init__(self) -> None:
        self.now = 100.0
        self.slept = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.slept += seconds


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def pace(time: Time) -> Pace:
    return Pace(clock=time, sleep=time.sleep)


def commit(pace: Pace, time: Time, senders: list[int], every: float) -> None:
    for sender in senders:
        pace.wait(sender)
        time.now += every


def test_many_senders_share_commits(pace: Pace, time: Time) -> None:
    begin = time.now

    commit(pace, time, [1 + number % 64 for number in range(1000)], every=GAP_SECONDS / 10)

    assert (time.now - begin) / 1000 == pytest.approx(GAP_SECONDS, rel=0.05)


@pytest.mark.parametrize("senders", [1, SIBLINGS - 1])
def test_few_senders_never_wait_for_others(pace: Pace, time: Time, senders: int) -> None:
    commit(pace, time, [1 + number % senders for number in range(1000)], every=GAP_SECONDS / 10)

    assert time.slept == 0


def test_commits_that_are_far_apart_do_not_wait(pace: Pace, time: Time) -> None:
    commit(pace, time, list(range(1, 1000)), every=3 * GAP_SECONDS)

    assert time.slept == 0


def test_nobody_waits_longer_than_the_gap(pace: Pace, time: Time) -> None:
    commit(pace, time, list(range(1, 100)), every=0)
    before = time.slept

    pace.wait(7)

    assert 0 < time.slept - before <= GAP_SECONDS * 1.001


def test_a_pause_ends_the_waiting(pace: Pace, time: Time) -> None:
    commit(pace, time, list(range(1, 100)), every=0)
    time.now += 60.0
    before = time.slept

    commit(pace, time, [1, 2, 3], every=GAP_SECONDS / 10)

    assert time.slept == before
