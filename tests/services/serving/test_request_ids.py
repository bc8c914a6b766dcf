import pytest

from trackside_serving.request_ids import REQUEST_ID, request_id


def test_the_callers_own_name_is_taken() -> None:
    assert request_id([("authorization", "x"), (REQUEST_ID, "job-7.a")]) == "job-7.a"


@pytest.mark.parametrize("given", ["", "a b", "x" * 65, "a\nb", b"bytes"])
def test_a_name_that_could_not_be_logged_is_replaced(given: str | bytes) -> None:
    named = request_id([(REQUEST_ID, given)])

    assert named != given
    assert len(named) == 16


def test_calls_without_a_name_get_different_ones() -> None:
    assert request_id([]) != request_id([])
