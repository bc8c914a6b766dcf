import base64

import pytest

from trackside_protos.logs.v1.logs_service_pb2 import ListLogsRequest
from trackside_serving.errors import InvalidPageTokenError
from trackside_serving.page_tokens import seal, unseal

REQUEST = ListLogsRequest(run_id="0123456789abcdef", after_sequence=7)


def asking(token: str, **fields: object) -> ListLogsRequest:
    request = ListLogsRequest()
    request.CopyFrom(REQUEST)
    request.page_token = token
    for name, value in fields.items():
        setattr(request, name, value)
    return request


def test_a_token_gives_the_place_back() -> None:
    assert unseal(asking(seal(b"place", REQUEST))) == b"place"


def test_no_token_is_the_first_page() -> None:
    assert unseal(REQUEST) == b""


def test_the_size_of_a_page_may_change() -> None:
    assert unseal(asking(seal(b"place", REQUEST), page_size=9)) == b"place"


@pytest.mark.parametrize("fields", [{"after_sequence": 8}, {"run_id": "fedcba9876543210"}])
def test_another_request_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(InvalidPageTokenError):
        unseal(asking(seal(b"place", REQUEST), **fields))


def test_another_caller_is_refused() -> None:
    token = seal(b"place", REQUEST, subject="ann")

    with pytest.raises(InvalidPageTokenError):
        unseal(asking(token), subject="bob")


@pytest.mark.parametrize("token", ["x", "é", "=", "A" * 9000, "AAAA", "!!!!"])
def test_what_is_no_token_is_refused(token: str) -> None:
    with pytest.raises(InvalidPageTokenError):
        unseal(asking(token))


def test_every_flipped_bit_is_noticed() -> None:
    token = seal(b"place", REQUEST)
    raw = bytearray(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))

    for position in range(len(raw) * 8):
        raw[position // 8] ^= 1 << position % 8
        flipped = base64.urlsafe_b64encode(bytes(raw)).rstrip(b"=").decode()
        with pytest.raises(InvalidPageTokenError):
            unseal(asking(flipped))
        raw[position // 8] ^= 1 << position % 8
