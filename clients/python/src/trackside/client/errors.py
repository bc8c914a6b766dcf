"""The errors that reading and acting raise, as one tree; light to import.

TracksideError
├── InvalidRequestError          what was asked is wrong, whatever the state
│   └── CursorForeignError       the cursor is another server's, run's or list's
├── NotFoundError                no such run, or none that this caller may see
├── AmbiguousNameError            the words fit several runs or tasks
├── NotAllowedError              the token's role or ownership forbids it
│   └── TokenRefusedError        no token, or one that is wrong or expired
│       └── TokenRevokedError    the token was revoked
├── ConflictError                the state, or something that exists, forbids it
├── CursorExpiredError           the changes after a cursor are no longer kept
├── OverloadedError              the server has no room for it now
├── ServerUnreachableError       nobody answers
├── DamagedOutputError           what came of an output is not what was published
├── DownloadFailedError          of several outputs, some could not be downloaded
├── CallTimeoutError             no answer, or no end of the run, in the time given
└── ServerFailedError            the server could not do what it should
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """One wrong field of a request."""

    field: str
    description: str


@dataclass(frozen=True, slots=True)
class ErrorFacts:
    """What a server said about a failure, beside the sentence."""

    status: str = ""
    reason: str = ""
    fields: Sequence[FieldViolation] = ()
    metadata: Mapping[str, str] = field(default_factory=dict[str, str])
    request_id: str = ""
    retry_after: float | None = None


_SHOWN_CANDIDATES = 5
_WAIT = "the server goes on trying; ask again in a while"

_HINTS: Mapping[str, str] = {
    "INVALID_FILTER": "`trackside help filter` explains filters",
    "ACTION_NOT_ALLOWED": "`trackside describe RUN` shows its state and what was asked of it",
    "RUN_CHANGED": "`trackside describe RUN` shows what it is now; nothing of it was changed",
    "RUN_CONFLICT": "another --request-id, run id or external key makes another run",
    "PARENT_CLOSED": "create the run without that parent, or under an open one",
    "TOO_MANY_STREAMS": "end other watches of yours, then try again",
    "STORE_UNAVAILABLE": _WAIT,
    "SHUTTING_DOWN": _WAIT,
    "SERVICE_UNREACHABLE": _WAIT,
    "OUTPUT_GONE": "`trackside get outputs RUN` shows what is still there",
    "OUTPUT_CHANGED": "--changed, or accept_changed=True, takes it as it is now",
    "OUTPUT_NOT_REGULAR": "publish the file itself, for no link is followed",
    "OUTPUT_UNREADABLE": "let the user that the agent runs as read it",
    "NO_READER": "`trackside get outputs RUN -o wide` shows where it was published",
    "OUTPUTS_UNREACHABLE": "`trackside get outputs RUN -o wide` shows where they are",
    "UNSAFE_DIRECTORY": "launch in a folder of the run's own: `trackside run --workdir DIR`",
    "AGENT_AWAY": "start the agent where it was, or ask again when it is back",
    "AGENT_ELSEWHERE": "ask again: another connection may come to the replica that has it; replicas"
    " that are given TRACKSIDE_PEER_ADDRESS find each other",
    "OFFSET_BEYOND_END": "`trackside get outputs RUN` shows its size",
    "STORAGE_FULL": "make room on the server's disk",
    "CHUNK_CORRUPT": "part of what is stored is damaged; what comes after it can still be read",
    "UNKNOWN_METHOD": "the server is older than this client: see `trackside version --server`",
    "INTERNAL": "the server's own log has more under the request id",
}
"""What to do next, by reason, where it does not follow from the kind of error."""


class TracksideError(Exception):
    """The base of every error of this package that a caller may want to catch."""

    default_hint = ""

    def __init__(self, message: str, facts: ErrorFacts | None = None, *, hint: str = "") -> None:
        super().__init__(message)
        self.facts: ErrorFacts = facts or ErrorFacts()
        self._hint = hint

    @property
    def message(self) -> str:
        """What went wrong, one sentence."""
        return str(self.args[0])

    @property
    def status(self) -> str:
        """The name of the gRPC status, for example `NOT_FOUND`; empty if no server said it."""
        return self.facts.status

    @property
    def reason(self) -> str:
        """The machine-readable reason, for example `RUN_NOT_FOUND`; may be empty."""
        return self.facts.reason

    @property
    def fields(self) -> Sequence[FieldViolation]:
        """The fields of the request that were wrong."""
        return self.facts.fields

    @property
    def request_id(self) -> str:
        """What names this call in the server's own log; may be empty."""
        return self.facts.request_id

    @property
    def hint(self) -> str:
        """What to do next, one sentence; may be empty."""
        return self._hint or _HINTS.get(self.reason, "") or self.default_hint


class InvalidRequestError(TracksideError):
    """What was asked is wrong, whatever the state; `fields` says where."""


class CursorForeignError(InvalidRequestError):
    """The cursor belongs to another server, service, run or list."""

    default_hint = "begin again without a cursor"


class NotFoundError(TracksideError):
    """There is no such run or part of a run, or this caller may not know of it."""

    default_hint = "`trackside get runs --all` lists every run that you may see"


class AmbiguousNameError(TracksideError):
    """The words fit several runs or tasks; `candidates` are their ids."""

    def __init__(self, message: str, candidates: Mapping[str, str]) -> None:
        """Say so; `candidates` tells of each id what tells it from the others."""
        shown = [FieldViolation(*each) for each in list(candidates.items())[:_SHOWN_CANDIDATES]]
        super().__init__(
            message, ErrorFacts(fields=shown), hint="give an id, or more characters of it"
        )
        self.candidates: tuple[str, ...] = tuple(candidates)


class NotAllowedError(TracksideError):
    """The role of the token does not allow it, or the caller does not own the run."""

    default_hint = "`trackside version --server` shows whose token you use"


class TokenRefusedError(NotAllowedError):
    """No token was sent, or it is wrong, expired or revoked."""

    default_hint = (
        "set TRACKSIDE_TOKEN, or TRACKSIDE_HOME to the data folder of a server on this machine"
    )


class TokenRevokedError(TokenRefusedError):
    """The token was revoked before it expired."""

    default_hint = (
        "another token is needed: `trackside token create` makes one where the server's home is"
    )


class ConflictError(TracksideError):
    """The state of the run, or something that exists already, does not allow it."""


class CursorExpiredError(TracksideError):
    """The changes after a cursor are no longer kept: begin again from the present state."""

    default_hint = "begin again from the present state"

    @property
    def earliest(self) -> str:
        """The earliest cursor that can still be served; may be empty."""
        return self.facts.metadata.get("earliest", "")


class OverloadedError(TracksideError):
    """The server has no room for it now; `facts.retry_after` says when it may."""

    default_hint = "try again in a while"


class ServerUnreachableError(TracksideError):
    """Nobody answers at the server's address, or the server cannot reach its store."""

    default_hint = "start a server with `trackside up`, or set TRACKSIDE_SERVER to another address"


class DamagedOutputError(TracksideError):
    """What came of an output is not what was published: its size or checksum differs."""

    default_hint = "it was written since, or damaged on the way; nothing of it was kept"


class DownloadFailedError(TracksideError):
    """Of several outputs some could not be downloaded; `failures` says why, by path."""

    def __init__(self, failures: Mapping[str, TracksideError]) -> None:
        path, error = next(iter(failures.items()))
        more = f", and {len(failures) - 1} more" if len(failures) > 1 else ""
        super().__init__(f"{path}: {error.message}{more}", error.facts, hint=error.hint)
        self.failures: dict[str, TracksideError] = dict(failures)


class CallTimeoutError(TracksideError, TimeoutError):
    """No answer came, or a run did not end, in the time given."""


class ServerFailedError(TracksideError):
    """The server could not do what it should; its own log has more under the request id."""


_BY_REASON: Mapping[str, type[TracksideError]] = {
    "CURSOR_FOREIGN": CursorForeignError,
    "CURSOR_AHEAD": CursorForeignError,
    "CURSOR_EXPIRED": CursorExpiredError,
    "TOKEN_REFUSED": TokenRefusedError,
    "TOKEN_REVOKED": TokenRevokedError,
}

_BY_STATUS: Mapping[str, type[TracksideError]] = {
    "INVALID_ARGUMENT": InvalidRequestError,
    "OUT_OF_RANGE": InvalidRequestError,
    "NOT_FOUND": NotFoundError,
    "UNAUTHENTICATED": TokenRefusedError,
    "PERMISSION_DENIED": NotAllowedError,
    "ALREADY_EXISTS": ConflictError,
    "FAILED_PRECONDITION": ConflictError,
    "ABORTED": ConflictError,
    "RESOURCE_EXHAUSTED": OverloadedError,
    "UNAVAILABLE": ServerUnreachableError,
    "DEADLINE_EXCEEDED": CallTimeoutError,
}


def error_of(message: str, facts: ErrorFacts) -> TracksideError:
    """Return the error that stands for what a server said; never for an unknown status alone."""
    kind = _BY_REASON.get(facts.reason) or _BY_STATUS.get(facts.status, ServerFailedError)
    return kind(message, facts)
