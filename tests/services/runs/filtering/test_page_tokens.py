import pytest

from trackside_runs.filtering.errors import PageTokenError
from trackside_runs.filtering.page_tokens import decode_page_token, encode_page_token

TOKEN = encode_page_token([1_700_000_000_000, "0123456789abcdef"], "runs", "state = RUNNING", "")


def test_a_token_comes_back_to_its_request() -> None:
    key = decode_page_token(TOKEN, (int, str), "runs", "state = RUNNING", "")

    assert list(key) == [1_700_000_000_000, "0123456789abcdef"]


def test_a_token_is_refused_with_another_filter() -> None:
    with pytest.raises(PageTokenError):
        decode_page_token(TOKEN, (int, str), "runs", "state = FAILED", "")


def test_the_border_between_filter_and_order_counts() -> None:
    token = encode_page_token(["x"], "ab", "c")

    with pytest.raises(PageTokenError):
        decode_page_token(token, (str,), "a", "bc")


@pytest.mark.parametrize("place", range(len(TOKEN)))
def test_a_changed_token_is_refused(place: int) -> None:
    changed = TOKEN[:place] + ("A" if TOKEN[place] != "A" else "B") + TOKEN[place + 1 :]

    with pytest.raises(PageTokenError):
        decode_page_token(changed, (int, str), "runs", "state = RUNNING", "")


@pytest.mark.parametrize("token", ["", "x", "é", "AAAA", "A" * 100_000, "=" * 9, "a b"])
def test_rubbish_is_refused(token: str) -> None:
    with pytest.raises(PageTokenError):
        decode_page_token(token, (int, str), "runs", "", "")


def test_a_key_of_another_shape_is_refused() -> None:
    token = encode_page_token(["name", 1, "id"], "runs", "", "")

    with pytest.raises(PageTokenError):
        decode_page_token(token, (int, int, str), "runs", "", "")
