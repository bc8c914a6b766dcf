"""Refusing requests that are wrong whatever the state, with each field that is."""

from collections.abc import Sequence
from typing import Final

from google.protobuf.duration_pb2 import Duration

from trackside_protos.runners.v1 import runners_service_pb2
from trackside_protos.runs.v1 import runs_service_pb2
from trackside_runs.validation import requests as checks
from trackside_serving.errors import InvalidFieldError, TooManyItemsError, Violation

_USUAL_GRACE_SECONDS: Final = 10


def require_run_id(run_id: str) -> None:
    """Refuse what is no run id.

    Raises:
        InvalidFieldError: It is none.
    """
    _require_none(checks.check_run_id(run_id))


def require_creation(request: runs_service_pb2.CreateRunRequest) -> None:
    """Refuse a request for a run that no run can be.

    Raises:
        InvalidFieldError: Fields are wrong.
    """
    _require_none(checks.check_creation(request))


def require_update(request: runs_service_pb2.UpdateRunRequest) -> None:
    """Refuse an update that no run can have.

    Raises:
        InvalidFieldError: Fields are wrong, or a path cannot be changed.
    """
    _require_none(checks.check_update(request))


def require_reports(request: runs_service_pb2.ReportRunRequest) -> None:
    """Refuse a batch of reports of which any is wrong.

    Raises:
        TooManyItemsError: It has too many.
        InvalidFieldError: Fields are wrong.
    """
    if len(request.reports) > checks.MAXIMUM_REPORTS:
        raise TooManyItemsError(f"A batch has at most {checks.MAXIMUM_REPORTS} reports.")
    _require_none(checks.check_reports(request))


def require_clock(request: runs_service_pb2.ReportRunRequest) -> None:
    """Refuse a clock that shows no time, or comes with something else.

    Raises:
        InvalidFieldError: It does.
    """
    _require_none(checks.check_clock(request))


def require_reading(request: runs_service_pb2.ReadOutputRequest) -> None:
    """Refuse to read what is nowhere.

    Raises:
        InvalidFieldError: Fields are wrong.
    """
    _require_none(checks.check_reading(request))


def require_outputs_deletion(request: runs_service_pb2.DeleteOutputsRequest) -> None:
    """Refuse to delete without the word for it.

    Raises:
        InvalidFieldError: Fields are wrong, or the word was not given.
    """
    _require_none(checks.check_outputs_deletion(request))


def require_deletion_report(report: runners_service_pb2.DeletionReport) -> None:
    """Refuse what no deletion can have come to.

    Raises:
        InvalidFieldError: Fields are wrong.
    """
    _require_none(checks.check_deletion_report(report))


def require_closing(request: runs_service_pb2.CloseRunRequest) -> None:
    """Refuse a request to close with a wrong result.

    Raises:
        InvalidFieldError: Fields are wrong.
    """
    _require_none(checks.check_closing(request))


def require_figures(request: runs_service_pb2.ReportFiguresRequest) -> None:
    """Refuse figures that no series can have.

    Raises:
        InvalidFieldError: Fields are wrong.
    """
    _require_none(checks.check_figures(request))


def require_confirmation(request: runs_service_pb2.ConfirmDeletionRequest) -> None:
    """Refuse a confirmation by nobody, or of what is no run.

    Raises:
        InvalidFieldError: Fields are wrong.
    """
    _require_none(checks.check_confirmation(request))


def require_grace(request: runs_service_pb2.StopRunRequest) -> Duration:
    """Return how long a stop lets the work clean up.

    Raises:
        InvalidFieldError: It is out of range.
    """
    _require_none(checks.check_stop(request))
    if request.HasField("grace_duration"):
        return request.grace_duration
    return Duration(seconds=_USUAL_GRACE_SECONDS)


def require_task_states(states: Sequence[int]) -> None:
    """Refuse states that no task has.

    Raises:
        InvalidFieldError: There is no such state.
    """
    _require_none(checks.check_task_states(states))


def require_hello(hello: runners_service_pb2.Hello) -> None:
    """Refuse an agent that says of itself what cannot be.

    Raises:
        InvalidFieldError: Fields are wrong.
    """
    _require_none(checks.check_hello(hello))


def _require_none(violations: Sequence[Violation]) -> None:
    if violations:
        first = violations[0]
        more = f" (and {len(violations) - 1} more)" if len(violations) > 1 else ""
        raise InvalidFieldError(f"{first.field}: {first.description}{more}", violations=violations)
