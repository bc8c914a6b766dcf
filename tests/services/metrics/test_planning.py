import pytest

from trackside_metrics.planning import CHUNK_POINTS, ENOUGH_ROWS, Group, Region, plan
from trackside_metrics.tables import GROWING, SETTLED, SMALL


def regions_of(*shapes: tuple[int, int], late_from: int = 1 << 30) -> list[Region]:
    """Return regions of one block each, of (level, points); series 1, or none if small."""
    found: list[Region] = []
    for sequence, (level, points) in enumerate(shapes, 1):
        region = Region(sequence, sequence, sequence >= late_from, level)
        region.add(0 if level == SMALL else 1, points)
        found.append(region)
    return found


def planned(
    regions: list[Region],
    *,
    barriers: frozenset[int] = frozenset(),
    enough: int = ENOUGH_ROWS,
    is_final: bool = False,
) -> list[tuple[int, int, bool]]:
    groups = plan(regions, barriers=barriers, enough=enough, is_final=is_final)
    return [(group.first, group.last, group.is_full) for group in groups]


def test_few_small_rows_are_left_alone() -> None:
    assert planned(regions_of(*[(SMALL, 50)] * (ENOUGH_ROWS - 1))) == []


def test_enough_small_rows_are_merged_and_may_grow() -> None:
    assert planned(regions_of(*[(SMALL, 50)] * ENOUGH_ROWS)) == [(1, ENOUGH_ROWS, False)]


def test_so_are_rows_with_enough_points() -> None:
    assert planned(regions_of((SMALL, 60_000), (SMALL, 60_000))) == [(1, 2, False)]


def test_growing_chunks_are_joined_when_they_have_enough_points_together() -> None:
    assert planned(regions_of(*[(GROWING, 448)] * 12)) == []
    assert planned(regions_of(*[(GROWING, 448)] * 13)) == [(1, 12, True)]


def test_small_rows_are_merged_without_what_grew_before() -> None:
    shapes = [(GROWING, 100)] * 3 + [(SMALL, 1)] * 5

    assert planned(regions_of(*shapes), enough=5) == [(4, 8, False)]


def test_settled_chunks_between_small_rows_are_taken_along() -> None:
    shapes = [(SETTLED, 1000), (SMALL, 1), (SETTLED, 1000), (SMALL, 1), (SETTLED, 1000)]

    assert planned(regions_of(*shapes), enough=2) == [(2, 4, False)]


def test_settled_chunks_alone_are_never_merged() -> None:
    assert planned(regions_of(*[(SETTLED, 10)] * 500), is_final=True) == []


def test_a_region_has_a_limit() -> None:
    shapes = [(SMALL, 100_000)] * 5

    assert planned(regions_of(*shapes)) == [(1, 2, True), (3, 4, True), (5, 5, False)]


def test_what_is_late_stays_apart() -> None:
    shapes = [(SMALL, 1)] * 6

    assert planned(regions_of(*shapes, late_from=4), enough=1) == [(1, 3, True), (4, 6, False)]


def test_what_is_damaged_is_left_alone() -> None:
    shapes = [(SMALL, 1)] * 5

    assert planned(regions_of(*shapes), barriers=frozenset({3}), enough=1) == [
        (1, 2, True),
        (4, 5, False),
    ]


@pytest.mark.parametrize(("rows", "merged"), [(15, False), (16, True)])
def test_at_the_end_a_few_rows_are_enough(rows: int, *, merged: bool) -> None:
    expected = [(1, rows, True)] if merged else []

    assert planned(regions_of(*[(SMALL, 1)] * rows), is_final=True) == expected


def test_a_long_series_does_not_leave_the_others_with_next_to_nothing() -> None:
    fast, slow = (GROWING, 999), 5
    regions = regions_of(*[fast] * 20)
    for region in regions:
        for series in range(2, 12):
            region.add(series, slow)

    groups = list(plan(regions, barriers=frozenset(), enough=1, is_final=False))

    assert [isinstance(group, Group) for group in groups] == [True]
    assert groups[0].last > CHUNK_POINTS // 999 + 1
