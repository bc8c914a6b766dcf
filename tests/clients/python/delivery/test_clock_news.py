import pytest

from trackside.delivery.clock_news import ClockNews
from trackside_protos.runs.v1.runs_service_pb2 import ReportRunRequest

NOON = 1_795_262_400.0


def told(news: bytes | None) -> float:
    assert news is not None
    return ReportRunRequest.FromString(news).clock_time.ToMilliseconds() / 1000


def test_a_clock_that_goes_as_time_goes_is_told_once() -> None:
    passed = 0.0
    clock = ClockNews(lambda: NOON + passed, lambda: passed)

    assert told(clock.next()) == NOON
    passed = 86_400.0
    assert clock.next() is None


@pytest.mark.parametrize("jump", [86_400.0, -86_400.0, -60.0])
def test_a_clock_that_jumps_is_told_again(jump: float) -> None:
    shown = NOON
    clock = ClockNews(lambda: shown, lambda: 0.0)
    clock.next()

    shown = NOON + jump
    assert told(clock.next()) == NOON + jump
    assert clock.next() is None
