"""Errors as they go over the wire: `google.rpc.Status`, kept below what peers accept."""

from typing import Final
from urllib.parse import quote

from google.protobuf import any_pb2, duration_pb2, message
from google.rpc import error_details_pb2, status_pb2

from trackside_serving.errors import ServiceError
from trackside_serving.escaping import escaped

DOMAIN: Final = "trackside"
"""The domain of every `ErrorInfo`."""

MESSAGE_CHARACTERS: Final = 256
MESSAGE_BYTES: Final = 512
METADATA_CHARACTERS: Final = 1024
"""All values of the metadata together: room for two cursors."""

VIOLATION_CHARACTERS: Final = 128
TRAILER_BYTES: Final = 3900
"""All trailers together: some peers refuse more than 8 KiB, we promise less than 4."""


def status_of(error: ServiceError) -> status_pb2.Status:
    """Return the status of an error: `ErrorInfo`, then `BadRequest` and `RetryInfo` if any.

    Fields that are wrong are left out from the last one on when the trailers would grow too
    long.
    """
    share = METADATA_CHARACTERS // max(1, len(error.metadata))
    info = error_details_pb2.ErrorInfo(
        reason=error.reason,
        domain=DOMAIN,
        metadata={name: ascii(value)[1:-1][:share] for name, value in error.metadata.items()},
    )
    status = status_pb2.Status(code=error.status.value[0], message=_message(error))
    status.details.append(_packed(info))
    if error.retry_after is not None:
        delay = duration_pb2.Duration()
        delay.FromNanoseconds(int(error.retry_after * 1e9))
        status.details.append(_packed(error_details_pb2.RetryInfo(retry_delay=delay)))
    _add_violations(status, error)
    return status


def trailers_of(status: status_pb2.Status) -> tuple[tuple[str, bytes], ...]:
    """Return the trailing metadata that carries a status."""
    return (("grpc-status-details-bin", status.SerializeToString()),)


def _message(error: ServiceError) -> str:
    text = escaped(error.message, MESSAGE_CHARACTERS)
    # Outside ASCII a byte takes three in the trailer `grpc-message`.
    return text.encode()[:MESSAGE_BYTES].decode(errors="ignore")


def _add_violations(status: status_pb2.Status, error: ServiceError) -> None:
    bad_request = error_details_pb2.BadRequest()
    room = TRAILER_BYTES - _trailer_bytes(status)
    for violation in error.violations:
        field = error_details_pb2.BadRequest.FieldViolation(
            field=escaped(violation.field, VIOLATION_CHARACTERS),
            description=escaped(violation.description, VIOLATION_CHARACTERS),
        )
        bad_request.field_violations.append(field)
        if bad_request.ByteSize() * 4 / 3 + 100 > room:  # in base64, with the name of its type
            del bad_request.field_violations[-1]
            break
    if bad_request.field_violations:
        status.details.append(_packed(bad_request))


def _trailer_bytes(status: status_pb2.Status) -> int:
    percent_encoded = len(quote(status.message, safe=" "))  # a little more than grpc encodes
    return percent_encoded + status.ByteSize() * 4 // 3 + 100


def _packed(detail: message.Message) -> any_pb2.Any:
    packed = any_pb2.Any()
    packed.Pack(detail)
    return packed
