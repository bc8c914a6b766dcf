"""What RunsService refuses, beside what every service does.

ServiceError (trackside_serving)
├── IllegalTransitionError     FAILED_PRECONDITION  the state graph does not know the change
├── ActionNotAllowedError      FAILED_PRECONDITION  the run does not offer this action now
├── ParentClosedError          FAILED_PRECONDITION  the parent takes no more children
├── RunConflictError           ALREADY_EXISTS       the id or key is taken by another run
├── RunChangedError            ABORTED              somebody else was quicker to change the run
├── AgentReplacedError         ABORTED              a later connection took the agent's id
├── OutputGoneError            NOT_FOUND            the published file is not there any more
├── OutputNotRegularError      FAILED_PRECONDITION  it is a link, a device, a pipe
├── OutputUnreadableError      FAILED_PRECONDITION  the system refuses to read it
├── OutputChangedError         FAILED_PRECONDITION  it was written since
├── NoReaderError              FAILED_PRECONDITION  nobody can read it for us
├── AgentAwayError             UNAVAILABLE          the agent is not connected, or went away
├── AgentElsewhereError        UNAVAILABLE          the agent is connected to another replica
├── OffsetBeyondEndError       OUT_OF_RANGE         the offset is behind the end of the file
├── UnsafeDirectoryError       FAILED_PRECONDITION  nothing is deleted in the run's directory
└── OutputsUnreachableError    FAILED_PRECONDITION  nobody can delete the outputs for us
"""

import grpc

from trackside_serving.errors import ServiceError


class IllegalTransitionError(ServiceError):
    """A report names a change that the state graph does not know."""

    status = grpc.StatusCode.FAILED_PRECONDITION
    reason = "ILLEGAL_TRANSITION"

    def __init__(self, *, what: str, current: str, reported: str) -> None:
        super().__init__(
            f"{what} cannot go from {current} to {reported}.",
            metadata={"from": current, "to": reported},
        )


class ActionNotAllowedError(ServiceError):
    """The run does not offer this action in its state."""

    status = grpc.StatusCode.FAILED_PRECONDITION
    reason = "ACTION_NOT_ALLOWED"

    def __init__(self, *, action: str, state: str, why: str = "") -> None:
        super().__init__(
            why or f"A run that is {state} does not offer {action}.",
            metadata={"action": action, "state": state},
        )


class ParentClosedError(ServiceError):
    """The parent takes no more children."""

    status = grpc.StatusCode.FAILED_PRECONDITION
    reason = "PARENT_CLOSED"
    summary = "The parent takes no more children."


class RunConflictError(ServiceError):
    """The run's id or external key is taken, with other contents."""

    status = grpc.StatusCode.ALREADY_EXISTS
    reason = "RUN_CONFLICT"
    summary = "A run with this id or external key exists, with other contents."


class RunChangedError(ServiceError):
    """A field is not as the caller expected; metadata `path`."""

    status = grpc.StatusCode.ABORTED
    reason = "RUN_CHANGED"

    def __init__(self, path: str) -> None:
        super().__init__(
            f"Somebody else has changed the run's {path} meanwhile.", metadata={"path": path}
        )


class AgentReplacedError(ServiceError):
    """A later connection with the same agent id took over."""

    status = grpc.StatusCode.ABORTED
    reason = "AGENT_REPLACED"
    summary = "Another connection with this agent id took over."


class OutputGoneError(ServiceError):
    """The published file is not there any more."""

    status = grpc.StatusCode.NOT_FOUND
    reason = "OUTPUT_GONE"
    summary = "The file that was published is not there any more."


class OutputNotRegularError(ServiceError):
    """What was published is no plain file, or no longer, and is never read."""

    status = grpc.StatusCode.FAILED_PRECONDITION
    reason = "OUTPUT_NOT_REGULAR"
    summary = "It is a link, or behind one, or a device, a socket or a pipe, which is never read."


class OutputUnreadableError(ServiceError):
    """The system on which the file is refuses to read it."""

    status = grpc.StatusCode.FAILED_PRECONDITION
    reason = "OUTPUT_UNREADABLE"
    summary = "The system on which the file is refuses to read it."


class OutputChangedError(ServiceError):
    """The file was written since; metadata `size_bytes` where its size is known."""

    status = grpc.StatusCode.FAILED_PRECONDITION
    reason = "OUTPUT_CHANGED"
    summary = "The file was written while it was read."


class NoReaderError(ServiceError):
    """Nobody can read the file for us."""

    status = grpc.StatusCode.FAILED_PRECONDITION
    reason = "NO_READER"
    summary = "The run was launched by no agent, so nobody can read its files for you."


class AgentAwayError(ServiceError):
    """The run's agent is not connected, or went away while it read; metadata `offset`."""

    status = grpc.StatusCode.UNAVAILABLE
    reason = "AGENT_AWAY"
    summary = "The agent of the run is not connected now."
    default_retry_after = 1.0


class AgentElsewhereError(ServiceError):
    """The run's agent is connected to another replica, which is not reached from here."""

    status = grpc.StatusCode.UNAVAILABLE
    reason = "AGENT_ELSEWHERE"
    summary = (
        "The agent of the run is connected to another replica of this service, which has no"
        " address of its own (TRACKSIDE_PEER_ADDRESS)."
    )


class OffsetBeyondEndError(ServiceError):
    """The offset is behind the end of the file; metadata `size_bytes`."""

    status = grpc.StatusCode.OUT_OF_RANGE
    reason = "OFFSET_BEYOND_END"
    summary = "The offset is behind the end of the file."


class UnsafeDirectoryError(ServiceError):
    """The run's directory is one in which nothing is deleted; metadata `directory`."""

    status = grpc.StatusCode.FAILED_PRECONDITION
    reason = "UNSAFE_DIRECTORY"
    summary = "The directory of the run is one in which nothing is deleted."


class OutputsUnreachableError(ServiceError):
    """Nobody can delete the outputs for us."""

    status = grpc.StatusCode.FAILED_PRECONDITION
    reason = "OUTPUTS_UNREACHABLE"
    summary = "The run was launched by no agent, so nobody can delete its outputs for you."
