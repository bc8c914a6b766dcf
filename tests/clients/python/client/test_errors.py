import pytest

from trackside.client import errors
from trackside.client.errors import ErrorFacts, TracksideError, error_of


@pytest.mark.parametrize(
    ("status", "reason", "kind"),
    [
        ("INVALID_ARGUMENT", "INVALID_FIELD", errors.InvalidRequestError),
        ("INVALID_ARGUMENT", "CURSOR_FOREIGN", errors.CursorForeignError),
        ("OUT_OF_RANGE", "CURSOR_EXPIRED", errors.CursorExpiredError),
        ("NOT_FOUND", "RUN_NOT_FOUND", errors.NotFoundError),
        ("UNAUTHENTICATED", "TOKEN_REFUSED", errors.TokenRefusedError),
        ("PERMISSION_DENIED", "NOT_ALLOWED", errors.NotAllowedError),
        ("FAILED_PRECONDITION", "ACTION_NOT_ALLOWED", errors.ConflictError),
        ("ALREADY_EXISTS", "RUN_CONFLICT", errors.ConflictError),
        ("RESOURCE_EXHAUSTED", "TOO_MANY_ITEMS", errors.OverloadedError),
        ("UNAVAILABLE", "", errors.ServerUnreachableError),
        ("DEADLINE_EXCEEDED", "", errors.CallTimeoutError),
        ("INTERNAL", "INTERNAL", errors.ServerFailedError),
        ("DATA_LOSS", "CHUNK_CORRUPT", errors.ServerFailedError),
    ],
)
def test_what_a_server_says_becomes_one_kind_of_error(
    status: str, reason: str, kind: type[TracksideError]
) -> None:
    error = error_of("what happened", ErrorFacts(status=status, reason=reason))

    assert type(error) is kind


def test_a_timeout_is_one_for_python_too() -> None:
    assert issubclass(errors.CallTimeoutError, TimeoutError)


def test_an_expired_cursor_names_the_earliest_that_is_served() -> None:
    facts = ErrorFacts(reason="CURSOR_EXPIRED", metadata={"earliest": "c7"})

    error = error_of("gone", facts)

    assert isinstance(error, errors.CursorExpiredError)
    assert error.earliest == "c7"
