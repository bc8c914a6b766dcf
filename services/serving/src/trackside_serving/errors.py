"""The errors that callers are told about.

    ServiceError
    ├── InvalidFieldError          INVALID_ARGUMENT     a field is wrong whatever the state
    ├── MalformedMessageError      INVALID_ARGUMENT     the bytes are not the message
    ├── InvalidFilterError         INVALID_ARGUMENT     the filter cannot be read
    ├── InvalidPageTokenError      INVALID_ARGUMENT     not our page token, or another request's
    ├── CursorForeignError         INVALID_ARGUMENT     another server's, service's or run's cursor
    ├── CursorAheadError           OUT_OF_RANGE         the store has not got there
    ├── CursorExpiredError         OUT_OF_RANGE         what comes after it is no longer kept
    ├── TokenRefusedError          UNAUTHENTICATED      no valid token; never says why
    ├── TokenRevokedError          UNAUTHENTICATED      the token was revoked
    ├── NotAllowedError            PERMISSION_DENIED    the role or the owner does not fit
    ├── RunNotFoundError           NOT_FOUND            no such run, or not for this caller
    ├── RunDeletedError            NOT_FOUND            the run was deleted
    ├── PartNotFoundError          NOT_FOUND            no such task, scope, series of the run
    ├── BatchGapError              ABORTED              a batch number is missing
    ├── BatchConflictError         ALREADY_EXISTS       the number was used for other bytes
    ├── StaleEpochError            FAILED_PRECONDITION  the producer has begun a later epoch
    ├── TooManyItemsError          RESOURCE_EXHAUSTED   a message has too many parts
    ├── TooManyStreamsError        RESOURCE_EXHAUSTED   too many calls or streams are open
    ├── SlowConsumerError          RESOURCE_EXHAUSTED   the watcher does not read
    ├── StorageFullError           RESOURCE_EXHAUSTED   the disk is full
    ├── StoreUnavailableError      UNAVAILABLE          the store cannot be reached now
    ├── ServiceUnreachableError    UNAVAILABLE          another service cannot be reached now
    ├── ShuttingDownError          UNAVAILABLE          the server is going down
    ├── CallTooLongError           DEADLINE_EXCEEDED    a call with one answer took an hour
    ├── StreamIdleError            DEADLINE_EXCEEDED    a producer's stream is silent
    ├── ChunkCorruptError          DATA_LOSS            a stored chunk fails its checksum
    ├── UnknownMethodError         UNIMPLEMENTED        there is no such method
    └── InternalError              INTERNAL             everything else; the log has the text

Each service adds its own below `ServiceError`; `statuses.status_of` turns any of them into what
goes over the wire.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

from grpc import StatusCode
from typing_extensions import override

from trackside_protos.errors.v1 import error_reason_pb2

REASONS: Final = frozenset(
    name.removeprefix("ERROR_REASON_")
    for name in error_reason_pb2.ErrorReason.DESCRIPTOR.values_by_name
) - {"UNSPECIFIED"}
"""Every reason that the schema declares."""


@dataclass(frozen=True, slots=True)
class Violation:
    """One field that is wrong, for example `entries[3].message`, and what is wrong with it."""

    field: str
    description: str


class ServiceError(Exception):
    """An error that a caller is told about.

    A subclass says its status code, its reason (a name of `ErrorReason` without the prefix), a
    message for when none is given, and how many seconds to wait before trying again.

    Args:
        message: One sentence for people. No exception text, path, SQL or token; of the caller's
            input only what `escaping.quoted` gives.
        metadata: Facts for programs, as the comment of the reason in the schema names them.
        violations: The fields that are wrong.
        retry_after: Seconds; `None` takes those of the class.
    """

    status: ClassVar[StatusCode]
    reason: ClassVar[str]
    summary: ClassVar[str]
    default_retry_after: ClassVar[float | None] = None

    @override
    def __init_subclass__(cls) -> None:
        reason = getattr(cls, "reason", None)
        if reason is not None and reason not in REASONS:
            msg = f"{cls.__name__}.reason is {reason}, which error_reason.proto does not declare"
            raise TypeError(msg)

    def __init__(
        self,
        message: str | None = None,
        *,
        metadata: Mapping[str, str] | None = None,
        violations: Sequence[Violation] = (),
        retry_after: float | None = None,
    ) -> None:
        self.message: str = self.summary if message is None else message
        super().__init__(self.message)
        self.metadata: dict[str, str] = dict(metadata or {})
        self.violations: tuple[Violation, ...] = tuple(violations)
        self.retry_after: float | None = (
            self.default_retry_after if retry_after is None else retry_after
        )


class InvalidFieldError(ServiceError):
    """A field is wrong whatever the state."""

    status = StatusCode.INVALID_ARGUMENT
    reason = "INVALID_FIELD"
    summary = "A field is wrong."

    @classmethod
    def of(cls, field: str, description: str) -> "InvalidFieldError":
        """Return the error for one wrong field."""
        return cls(f"{field}: {description}", violations=[Violation(field, description)])


class MalformedMessageError(ServiceError):
    """The bytes are not the message of the method."""

    status = StatusCode.INVALID_ARGUMENT
    reason = "MALFORMED_MESSAGE"
    summary = "The bytes are not the message of this method."


class InvalidFilterError(ServiceError):
    """The filter cannot be read or names an unknown field."""

    status = StatusCode.INVALID_ARGUMENT
    reason = "INVALID_FILTER"
    summary = "The filter cannot be read."


class InvalidPageTokenError(ServiceError):
    """The page token is not one of ours, or belongs to another request."""

    status = StatusCode.INVALID_ARGUMENT
    reason = "INVALID_PAGE_TOKEN"
    summary = "The page token does not belong to this request."


class CursorForeignError(ServiceError):
    """The cursor belongs to another server, service, run or list."""

    status = StatusCode.INVALID_ARGUMENT
    reason = "CURSOR_FOREIGN"
    summary = "The cursor does not belong to this server, service and run."


class CursorAheadError(ServiceError):
    """The cursor is ahead of the store; metadata `latest`."""

    status = StatusCode.OUT_OF_RANGE
    reason = "CURSOR_AHEAD"
    summary = "The cursor is ahead of what is stored."


class CursorExpiredError(ServiceError):
    """The changes after the cursor are no longer kept; metadata `earliest` and `latest`."""

    status = StatusCode.OUT_OF_RANGE
    reason = "CURSOR_EXPIRED"
    summary = "The changes after the cursor are no longer kept."


class TokenRefusedError(ServiceError):
    """No token was sent, or it is wrong or expired: always with the same text."""

    status = StatusCode.UNAUTHENTICATED
    reason = "TOKEN_REFUSED"
    summary = "A valid token is needed, sent as `authorization: Bearer TOKEN`."

    def __init__(self) -> None:
        super().__init__()


class TokenRevokedError(ServiceError):
    """The token was revoked before it expired; told only to who has a token that we signed."""

    status = StatusCode.UNAUTHENTICATED
    reason = "TOKEN_REVOKED"
    summary = "This token was revoked; another one is needed."

    def __init__(self) -> None:
        super().__init__()


class NotAllowedError(ServiceError):
    """The role of the token does not allow the method, or the caller does not own the run."""

    status = StatusCode.PERMISSION_DENIED
    reason = "NOT_ALLOWED"
    summary = "The token does not allow this."


class RunNotFoundError(ServiceError):
    """There is no such run, or the caller may not know of it: always with the same text."""

    status = StatusCode.NOT_FOUND
    reason = "RUN_NOT_FOUND"
    summary = "There is no such run."

    def __init__(self) -> None:
        super().__init__()


class RunDeletedError(RunNotFoundError):
    """The run was deleted; for callers who could see it."""

    reason = "RUN_DELETED"
    summary = "The run was deleted."


class PartNotFoundError(ServiceError):
    """There is no such task, scope, series or other part of the run."""

    status = StatusCode.NOT_FOUND
    reason = "PART_NOT_FOUND"
    summary = "There is no such part."


class BatchGapError(ServiceError):
    """A batch number is missing for too long; metadata `expected`."""

    status = StatusCode.ABORTED
    reason = "BATCH_GAP"
    summary = "A batch is missing."


class BatchConflictError(ServiceError):
    """A batch number was used before for other bytes; metadata `batch_sequence`."""

    status = StatusCode.ALREADY_EXISTS
    reason = "BATCH_CONFLICT"
    summary = "This batch number was used before for other bytes."


class StaleEpochError(ServiceError):
    """The producer has begun a later epoch; metadata `epoch`."""

    status = StatusCode.FAILED_PRECONDITION
    reason = "STALE_EPOCH"
    summary = "The producer has begun a later epoch."


class TooManyItemsError(ServiceError):
    """A message, batch or list has too many parts."""

    status = StatusCode.RESOURCE_EXHAUSTED
    reason = "TOO_MANY_ITEMS"
    summary = "The message has too many parts."


class TooManyStreamsError(ServiceError):
    """Too many calls or streams are open."""

    status = StatusCode.RESOURCE_EXHAUSTED
    reason = "TOO_MANY_STREAMS"
    summary = "Too many calls or streams are open."
    default_retry_after = 1.0


class SlowConsumerError(ServiceError):
    """The watcher made no progress while data waited; metadata `cursor`."""

    status = StatusCode.RESOURCE_EXHAUSTED
    reason = "SLOW_CONSUMER"
    summary = "The stream was not read for too long."
    default_retry_after = 1.0


class StorageFullError(ServiceError):
    """The disk of the store is full; nothing was stored."""

    status = StatusCode.RESOURCE_EXHAUSTED
    reason = "STORAGE_FULL"
    summary = "The disk of the store is full; nothing was stored."
    default_retry_after = 5.0


class StoreUnavailableError(ServiceError):
    """The store cannot be reached now; the same bytes may be sent again."""

    status = StatusCode.UNAVAILABLE
    reason = "STORE_UNAVAILABLE"
    summary = "The store cannot be reached now."
    default_retry_after = 1.0


class ServiceUnreachableError(ServiceError):
    """Another service is not reached from here."""

    status = StatusCode.UNAVAILABLE
    reason = "SERVICE_UNREACHABLE"
    summary = "A service that is needed cannot be reached now."
    default_retry_after = 1.0


class ShuttingDownError(ServiceError):
    """The server is going down; a watch carries on elsewhere from its cursor."""

    status = StatusCode.UNAVAILABLE
    reason = "SHUTTING_DOWN"
    summary = "The server is going down."
    default_retry_after = 1.0


class CallTooLongError(ServiceError):
    """A call with one answer took longer than it may."""

    status = StatusCode.DEADLINE_EXCEEDED
    reason = "CALL_TOO_LONG"
    summary = "The call took longer than a call may take."


class StreamIdleError(ServiceError):
    """Neither side has sent anything on a producer's or agent's stream for too long."""

    status = StatusCode.DEADLINE_EXCEEDED
    reason = "STREAM_IDLE"
    summary = "Nothing was sent on the stream for too long."


class ChunkCorruptError(ServiceError):
    """A stored chunk fails its checksum; metadata `first_sequence` and `last_sequence`."""

    status = StatusCode.DATA_LOSS
    reason = "CHUNK_CORRUPT"
    summary = "A stored chunk fails its checksum."


class UnknownMethodError(ServiceError):
    """There is no such method."""

    status = StatusCode.UNIMPLEMENTED
    reason = "UNKNOWN_METHOD"
    summary = "There is no such method."


class InternalError(ServiceError):
    """Something went wrong inside; the server's own log names the same `error_id`."""

    status = StatusCode.INTERNAL
    reason = "INTERNAL"
    summary = "Internal error."

    def __init__(self, error_id: str) -> None:
        super().__init__(f"Internal error, id={error_id}.", metadata={"error_id": error_id})
