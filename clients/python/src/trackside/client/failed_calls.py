"""Reads what a failed gRPC call says into this package's errors."""

import grpc
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

from trackside.client.errors import ErrorFacts, FieldViolation, TracksideError, error_of

REQUEST_ID_KEY = "x-request-id"
"""The metadata key under which a client names a call, and a server says the name it logs."""

_STATUS_KEY = "grpc-status-details-bin"


def error_of_call(error: grpc.RpcError, server: str) -> TracksideError:
    """Return the error that a failed call stands for, with all that the server said.

    Args:
        error: What grpc raised.
        server: The address that was called, for the sentence that nobody answers there.
    """
    let_go(error)
    trailers: dict[str, str | bytes] = {
        datum.key: datum.value for datum in error.trailing_metadata() or ()
    }
    named = trailers.get(REQUEST_ID_KEY, "")
    status = _rich_status(trailers.get(_STATUS_KEY, b""))
    facts = _facts(status, error.code().name, named if isinstance(named, str) else "")
    message = status.message or error.details() or "the call failed without a word"
    if facts.status == "UNAVAILABLE" and not facts.reason:
        message = f"no server answers at {server}: {_last_cause(message)}"
    return error_of(message, facts)


def let_go(error: grpc.RpcError) -> None:
    """Let the call that failed be freed as soon as nobody needs it.

    The error of a stream is the call itself, and its traceback leads to the frames that hold the
    call. Such a circle would last until the interpreter goes down; freeing the call then takes a
    lock which a thread may hold that does not run any more, and the program would never end.
    """
    error.__traceback__ = None


def _rich_status(trailer: str | bytes) -> status_pb2.Status:
    try:
        return status_pb2.Status.FromString(trailer if isinstance(trailer, bytes) else b"")
    except DecodeError:
        return status_pb2.Status()


def _facts(status: status_pb2.Status, code: str, request_id: str) -> ErrorFacts:
    info = error_details_pb2.ErrorInfo()
    wrong = error_details_pb2.BadRequest()
    retry = error_details_pb2.RetryInfo()
    retry_after: float | None = None
    for detail in status.details:
        detail.Unpack(info)
        detail.Unpack(wrong)
        if detail.Unpack(retry):
            retry_after = retry.retry_delay.ToTimedelta().total_seconds()
    metadata = dict(info.metadata)
    return ErrorFacts(
        status=code,
        reason=info.reason,
        fields=tuple(FieldViolation(v.field, v.description) for v in wrong.field_violations),
        metadata=metadata,
        request_id=metadata.get("error_id", request_id),
        retry_after=retry_after,
    )


def _last_cause(message: str) -> str:
    """Shorten grpc's own words, which nest one error in another, to the innermost."""
    return message.rsplit(": ", 1)[-1].strip().rstrip(".]").lower()
