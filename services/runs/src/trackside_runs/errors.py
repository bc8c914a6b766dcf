"""What RunsService refuses, beside what every service does.

ServiceError (trackside_serving)
├── IllegalTransitionError     FAILED_PRECONDITION  the state graph does not know the change
├── ActionNotAllowedError      FAILED_PRECONDITION  the run does not offer this action now
├── ParentClosedError          FAILED_PRECONDITION  the parent takes no more children
├── RunConflictError           ALREADY_EXISTS       the id or key is taken by another run
└── AgentReplacedError         ABORTED              a later connection took the agent's id
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


class AgentReplacedError(ServiceError):
    """A later connection with the same agent id took over."""

    status = grpc.StatusCode.ABORTED
    reason = "AGENT_REPLACED"
    summary = "Another connection with this agent id took over."
