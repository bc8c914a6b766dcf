"""How the work ended: what an exception, or its absence, says of the run."""

import sys
import traceback
from collections import deque
from dataclasses import dataclass, replace
from types import CodeType, FrameType
from typing import Final

from trackside.session.place import Place
from trackside.session.termination import EXIT_CODE, TerminatedError
from trackside.session.values import printable
from trackside_protos.runs.v1.run_pb2 import ErrorReport
from trackside_protos.runs.v1.run_state_pb2 import RunState, StateReason

_LONGEST_MESSAGE: Final = 4 << 10
_LONGEST_TRACE: Final = 200 << 10
_LONGEST_SENTENCE: Final = 1_000
_MOST_ABANDONED: Final = 64


@dataclass(frozen=True, slots=True)
class Outcome:
    """What is reported of the end of the work."""

    state: "RunState.ValueType"
    reason: "StateReason.ValueType" = StateReason.STATE_REASON_UNSPECIFIED
    message: str = ""
    exit_code: int | None = None
    error: BaseException | None = None
    """What is to be shown as the error, if anything."""


COMPLETED: Final = Outcome(RunState.RUN_STATE_COMPLETED)
_INTERRUPTED: Final = Outcome(
    RunState.RUN_STATE_TERMINATED,
    StateReason.STATE_REASON_INTERRUPTED,
    "Interrupted by the user.",
)


def outcome_of(error: BaseException | None) -> Outcome:
    """Return the outcome of work that ended with this exception, or with none."""
    if error is None or isinstance(error, GeneratorExit):
        return COMPLETED
    if isinstance(error, KeyboardInterrupt) or _is_cancellation(error):
        return _INTERRUPTED
    if isinstance(error, TerminatedError):
        return Outcome(
            RunState.RUN_STATE_TERMINATED,
            StateReason.STATE_REASON_INTERRUPTED,
            "Ended by the signal SIGTERM.",
            exit_code=EXIT_CODE,
        )
    if isinstance(error, SystemExit):
        return _outcome_of_exit(error)
    return Outcome(
        RunState.RUN_STATE_FAILED,
        StateReason.STATE_REASON_UNCAUGHT_EXCEPTION,
        sentence_of(error),
        error=error,
    )


def sentence_of(error: BaseException) -> str:
    """Return the kind and message of an exception, as Python shows it last."""
    words = "".join(traceback.format_exception_only(error)).strip()
    return printable(words)[:_LONGEST_SENTENCE]


def error_report(error: BaseException, place: Place) -> ErrorReport:
    """Return the report on an exception that ended the work in this place."""
    trace = "".join(traceback.format_exception(error))
    if len(trace) > _LONGEST_TRACE:
        half = _LONGEST_TRACE // 2
        trace = f"{trace[:half]}\n[…]\n{trace[-half:]}"
    context = place.context()
    if place.scope_path:
        context["scope"] = place.scope_path
    if place.task_name:
        context["task"] = place.task_name
    return ErrorReport(
        kind=type(error).__qualname__,
        message=printable(_message_of(error))[:_LONGEST_MESSAGE],
        traceback=printable(trace),
        context=context,
        task_id=place.task_id,
    )


def _is_cancellation(error: BaseException) -> bool:
    """Return whether this is what Ctrl-C becomes in a program of `asyncio`."""
    # Whoever cancels has imported it; another thread may be about to.
    kind = getattr(sys.modules.get("asyncio.exceptions"), "CancelledError", None)
    return isinstance(kind, type) and isinstance(error, kind)


def _outcome_of_exit(error: SystemExit) -> Outcome:
    code = error.code
    if code is None or code == 0:
        return Outcome(RunState.RUN_STATE_COMPLETED, exit_code=0)
    number = code & 0xFF if isinstance(code, int) else 1
    if isinstance(error.__context__, KeyboardInterrupt):  # what some make of Ctrl-C
        return replace(_INTERRUPTED, exit_code=number)
    words = f"Exited with code {number}." if isinstance(code, int) else printable(str(code))
    return Outcome(
        RunState.RUN_STATE_FAILED,
        StateReason.STATE_REASON_EXIT_CODE,
        words[:_LONGEST_SENTENCE],
        exit_code=number,
    )


def _message_of(error: BaseException) -> str:
    try:
        return str(error)
    except Exception as another:  # noqa: BLE001 - a class of the program's own may not be sound
        return f"(its message cannot be read: {type(another).__name__})"


@dataclass(frozen=True, slots=True)
class _Abandoned:
    """A place whose loop was left early, and the line in the program that left it."""

    place: Place
    frame_id: int
    code: CodeType
    line: int

    def is_on_the_way_of(self, error: BaseException) -> bool:
        """Return whether the error came by this line of this call of the function."""
        trace = error.__traceback__
        while trace is not None:
            frame = trace.tb_frame
            if (id(frame), trace.tb_lineno) == (self.frame_id, self.line):
                return frame.f_code is self.code
            trace = trace.tb_next
        return False


class FailurePlace:
    """Remembers the innermost place that an exception came from, while it goes up."""

    def __init__(self) -> None:
        self._error: BaseException | None = None
        self._place = Place("")
        self._abandoned: deque[_Abandoned] = deque(maxlen=_MOST_ABANDONED)

    def note(self, error: BaseException | None, place: Place) -> None:
        """Note that the exception leaves this place; the first place counts."""
        if error is not None and error is not self._error:
            self._error, self._place = error, place

    def note_abandoned(self, place: Place, frame: FrameType) -> None:
        """Note that a loop over items was left early: by `break`, or by an exception.

        A loop does not see the exception that leaves it. It is known later, by the line.
        """
        self._abandoned.append(_Abandoned(place, id(frame), frame.f_code, frame.f_lineno))

    def place_of(self, error: BaseException, otherwise: Place) -> Place:
        """Return where the exception came from."""
        known = error is self._error or error.__cause__ is self._error is not None
        found = self._place if known else None
        for each in reversed(self._abandoned):
            if each.is_on_the_way_of(error) and (found is None or each.place.is_in(found)):
                found = each.place
        return found or otherwise
