import pytest

from trackside_protos.runs.v1.runs_service_pb2 import ListRunsRequest
from trackside_runs.page_keys import key_before, token_after
from trackside_serving.errors import InvalidPageTokenError
from trackside_serving.page_tokens import seal

REQUEST = ListRunsRequest(filter="state = RUNNING")


def asked(token: str) -> ListRunsRequest:
    return ListRunsRequest(filter="state = RUNNING", page_token=token)


def test_a_key_comes_back_to_its_request() -> None:
    key = [1_700_000_000_000, "ä", "0123456789abcdef"]
    token = token_after(key, REQUEST, subject="ada")

    assert key_before(asked(token), (int, str, str), subject="ada") == key


def test_the_first_page_has_no_key_before_it() -> None:
    assert key_before(REQUEST, (int, str)) is None


def test_a_key_is_for_whom_it_was_made() -> None:
    token = token_after(["x"], REQUEST, subject="ada")

    with pytest.raises(InvalidPageTokenError):
        key_before(asked(token), (str,), subject="bob")


@pytest.mark.parametrize("place", [b'["name",1,"id"]', b"[1]", b"{}", b"7", b"[", b"\xff"])
def test_a_made_up_key_is_refused(place: bytes) -> None:
    with pytest.raises(InvalidPageTokenError):
        key_before(asked(seal(place, REQUEST)), (int, int, str))
