"""From a status that another server sent back to the error that it was there."""

from functools import lru_cache
from typing import Final

import grpc
import grpc.aio
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

from trackside_serving.errors import (
    REASONS,
    ServiceError,
    ServiceUnreachableError,
    TooManyStreamsError,
    Violation,
)
from trackside_serving.statuses import DOMAIN

_DETAILS: Final = "grpc-status-details-bin"
_CODES: Final = {code.value[0]: code for code in grpc.StatusCode}


def error_of(failure: grpc.aio.AioRpcError) -> ServiceError:
    """Return the error that the other server meant, with its facts, as a class of its own reason.

    What does not come from one of our servers (nobody listens, the connection broke) is
    `ServiceUnreachableError`.
    """
    status = _status_in(failure)
    info, violations, delay = error_details_pb2.ErrorInfo(), (), None
    for detail in status.details:
        bad_request, retry = error_details_pb2.BadRequest(), error_details_pb2.RetryInfo()
        if detail.Unpack(bad_request):
            found = bad_request.field_violations
            violations = tuple(Violation(v.field, v.description) for v in found)
        elif detail.Unpack(retry):
            delay = retry.retry_delay.ToMilliseconds() / 1000
        else:
            detail.Unpack(info)
    if info.domain != DOMAIN or info.reason not in REASONS:
        if failure.code() is grpc.StatusCode.RESOURCE_EXHAUSTED:  # grpc's own limit of calls
            return TooManyStreamsError()
        return ServiceUnreachableError()
    kind = _class_of(info.reason) or _made_for(info.reason, _CODES[status.code])
    error = kind.__new__(kind)
    # Past the constructors of the classes: each makes its facts from other arguments.
    ServiceError.__init__(
        error,
        status.message,
        metadata=dict(info.metadata),
        violations=violations,
        retry_after=delay,
    )
    return error


def _status_in(failure: grpc.aio.AioRpcError) -> status_pb2.Status:
    for key, value in failure.trailing_metadata() or ():
        if key == _DETAILS and isinstance(value, bytes):
            try:
                status = status_pb2.Status.FromString(value)
            except DecodeError:
                break
            if status.code in _CODES:
                return status
    return status_pb2.Status()


def _class_of(reason: str) -> type[ServiceError] | None:
    """Return the most general class with this reason that this process knows."""
    return next((k for k in ServiceError.__subclasses__() if vars(k).get("reason") == reason), None)


@lru_cache(maxsize=128)
def _made_for(reason: str, code: grpc.StatusCode) -> type[ServiceError]:
    """Return a class for a reason that only the other service has a class for."""
    members = {"reason": reason, "status": code, "summary": "", "__doc__": f"Relayed {reason}."}
    # Not below `ServiceError` itself, so that a class that is loaded later is found first.
    return type("RelayedError", (_RelayedError,), members)


class _RelayedError(ServiceError):
    """An error of another service that this one knows by its reason only."""
