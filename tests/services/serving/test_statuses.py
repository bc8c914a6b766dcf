import pytest
from google.protobuf import duration_pb2
from google.rpc import error_details_pb2

from trackside_serving import errors
from trackside_serving.errors import (
    REASONS,
    CursorExpiredError,
    InvalidFieldError,
    ServiceError,
    StoreUnavailableError,
    Violation,
)
from trackside_serving.statuses import TRAILER_BYTES, status_of, trailers_of


def test_a_status_has_the_code_the_reason_and_the_facts() -> None:
    status = status_of(CursorExpiredError(metadata={"earliest": "c1", "latest": "c9"}))

    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    assert status.code == 11
    assert info == error_details_pb2.ErrorInfo(
        reason="CURSOR_EXPIRED", domain="trackside", metadata={"earliest": "c1", "latest": "c9"}
    )


def test_what_may_be_tried_again_says_when() -> None:
    status = status_of(StoreUnavailableError(retry_after=2.5))

    retry = error_details_pb2.RetryInfo()
    assert status.details[1].Unpack(retry)
    assert retry.retry_delay == duration_pb2.Duration(seconds=2, nanos=500_000_000)


@pytest.mark.parametrize("char", ["x", "é", "😀", "\x1b", "\u202e", "%"])
def test_all_trailers_stay_below_four_kibibytes(char: str) -> None:
    error = InvalidFieldError(
        char * 10_000,
        metadata={"earliest": char * 5000, "latest": char * 5000},
        violations=[Violation(char * 500, char * 500)] * 100,
        retry_after=1,
    )

    status = status_of(error)

    [(_, details)] = trailers_of(status)
    percent_encoded = sum(
        1 if 32 <= byte < 127 and byte != 37 else 3 for byte in status.message.encode()
    )
    assert percent_encoded + len(details) * 4 / 3 <= TRAILER_BYTES + 100
    assert len(status.message) <= 256


def test_the_first_violations_are_told_when_there_are_too_many() -> None:
    error = InvalidFieldError(violations=[Violation(f"f[{n}]", "wrong" * 30) for n in range(100)])

    bad_request = error_details_pb2.BadRequest()
    assert status_of(error).details[1].Unpack(bad_request)

    fields = [violation.field for violation in bad_request.field_violations]
    assert fields == [f"f[{n}]" for n in range(len(fields))]
    assert len(fields) > 5


def test_control_characters_are_escaped() -> None:
    status = status_of(InvalidFieldError("a\nb\x00\u202ec"))

    assert status.message == "a\\nb\\x00\\u202ec"


def all_errors() -> list[type[ServiceError]]:
    return [
        value
        for value in vars(errors).values()
        if isinstance(value, type) and issubclass(value, ServiceError) and value is not ServiceError
    ]


def test_every_error_stands_in_the_tree_with_its_code() -> None:
    drawn = {
        words[1]: words[2]
        for line in (errors.__doc__ or "").splitlines()
        if len(words := line.split()) > 2 and words[0] in {"├──", "└──"}
    }

    assert drawn == {error.__name__: error.status.name for error in all_errors()}


def test_no_two_errors_share_a_reason() -> None:
    reasons = [error.reason for error in all_errors()]

    assert len(reasons) == len(set(reasons))
    assert set(reasons) <= REASONS


def test_a_reason_that_the_schema_does_not_declare_is_refused() -> None:
    with pytest.raises(TypeError, match="NONSENSE"):
        type("NonsenseError", (ServiceError,), {"reason": "NONSENSE"})
