from datetime import UTC, datetime, timedelta

import pytest

from trackside.cli.quantities import Moment, QuantityError, duration_of, moment_of, size_of

_NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("30s", 30), ("10m", 600), ("1h30m", 5400), ("2d", 172_800), ("500ms", 0.5), ("90", 90)],
)
def test_durations_are_read(text: str, seconds: float) -> None:
    assert duration_of(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "soon", "-5s", "5 s", "1y", "5s later", "99999999w"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(QuantityError):
        duration_of(text)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("512", 512),
        ("2GB", 2_000_000_000),
        ("2GiB", 2 * 2**30),
        ("1.5G", 1_500_000_000),
        ("64k", 64_000),
        ("10 MB", 10_000_000),
    ],
)
def test_sizes_are_read(text: str, size: int) -> None:
    assert size_of(text) == size


@pytest.mark.parametrize("text", ["", "GB", "-1GB", "2XB", "5i", "99999999TB"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(QuantityError):
        size_of(text)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("10m", timedelta(minutes=10)),
        ("2026-11-21T11:00:00Z", _NOW - timedelta(hours=1)),
        ("2026-11-21T13:00:00+02:00", _NOW - timedelta(hours=1)),
    ],
)
def test_moments_are_read(text: str, moment: Moment) -> None:
    assert moment_of(text) == moment


def test_a_date_is_a_moment_here() -> None:
    assert moment_of("2026-11-21") == datetime(2026, 11, 21).astimezone()  # here


@pytest.mark.parametrize("text", ["", "yesterday", "2026-13-01"])
def test_what_is_no_moment_is_refused(text: str) -> None:
    with pytest.raises(QuantityError):
        moment_of(text)
