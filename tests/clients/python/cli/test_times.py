from datetime import timedelta

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from support.example_runs import NOW, at
from trackside.cli.times import ago, is_set, local, resolved, rfc3339, rough_span, span, when


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (-1, "0.0 s"),
        (0.84, "0.8 s"),
        (9.99, "10.0 s"),
        (59.4, "59 s"),
        (60, "1 min"),
        (184, "3 min 4 s"),
        (7_500, "2 h 5 min"),
        (86_400, "1 d"),
        (190_800, "2 d 5 h"),
    ],
)
def test_durations_have_two_units_at_most(seconds: float, shown: str) -> None:
    assert span(seconds) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0.2, "~1 s"), (43, "~43 s"), (170, "~3 min"), (9_000, "~2 h")]
)
def test_estimates_have_one_unit(seconds: float, shown: str) -> None:
    assert rough_span(seconds) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "just now"),
        (5, "5 s ago"),
        (200, "3 min ago"),
        (7_300, "2 h ago"),
        (200_000, "2 d ago"),
        (40 * 86_400, "2026-10-12"),
    ],
)
def test_times_are_told_from_now(seconds: float, shown: str) -> None:
    assert ago(at(seconds), NOW) == shown


def test_a_time_in_the_future_is_told_as_it_was_reported() -> None:
    ahead = at(-90)

    assert ago(ahead, NOW) == when(ahead, NOW) == local(ahead)
    assert when(at(90), NOW) == f"1 min ago ({local(at(90))})"
    assert when(Timestamp(), NOW) == ""


def test_what_was_so_long_ago_is_counted_from_now() -> None:
    assert resolved(timedelta(minutes=10), NOW) == NOW - timedelta(minutes=10)
    assert resolved(NOW, NOW + timedelta(days=3)) == NOW
    assert resolved(None, NOW) is None


def test_programs_get_rfc_3339() -> None:
    assert rfc3339(at(0.5)) == "2026-11-21T11:59:59.500Z"


def test_an_absent_time_is_known() -> None:
    assert not is_set(Timestamp())
    assert is_set(at(timedelta(days=1).total_seconds()))
