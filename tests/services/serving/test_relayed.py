import grpc
import grpc.aio
import pytest

from trackside_serving.errors import (
    ServiceError,
    ServiceUnreachableError,
    TooManyStreamsError,
)
from trackside_serving.relayed import error_of
from trackside_serving.statuses import status_of, trailers_of


def failure(
    code: grpc.StatusCode, *trailers: tuple[str, bytes], text: str = ""
) -> grpc.aio.AioRpcError:
    return grpc.aio.AioRpcError(
        code, grpc.aio.Metadata(), grpc.aio.Metadata(*trailers), details=text
    )


def sent(error: ServiceError) -> grpc.aio.AioRpcError:
    status = status_of(error)
    return failure(error.status, *trailers_of(status), text=status.message)


class FarServiceError(ServiceError):
    """Errors whose classes this process would not have."""


class FarError(FarServiceError):
    status = grpc.StatusCode.FAILED_PRECONDITION
    reason = "PARENT_CLOSED"
    summary = "No."


def test_a_reason_that_only_the_other_service_has_a_class_for_is_kept() -> None:
    relayed = error_of(sent(FarError(metadata={"from": "A"})))

    assert (relayed.reason, relayed.status) == (FarError.reason, FarError.status)
    assert (relayed.message, relayed.metadata) == ("No.", {"from": "A"})


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (grpc.StatusCode.UNAVAILABLE, ServiceUnreachableError),
        (grpc.StatusCode.UNIMPLEMENTED, ServiceUnreachableError),
        (grpc.StatusCode.INTERNAL, ServiceUnreachableError),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, TooManyStreamsError),
    ],
)
def test_what_is_not_of_our_servers_is_no_answer(
    code: grpc.StatusCode, expected: type[ServiceError]
) -> None:
    assert type(error_of(failure(code))) is expected


@pytest.mark.parametrize("details", [b"\xff\xff", b"", b"\x08\xe7\x07"])
def test_details_that_cannot_be_read_are_no_answer(details: bytes) -> None:
    broken = failure(grpc.StatusCode.UNAVAILABLE, ("grpc-status-details-bin", details))

    assert type(error_of(broken)) is ServiceUnreachableError
