from pathlib import Path

import click
import pytest

from trackside.cli.exit_codes import ExitCode
from trackside.cli.failures import CommandError, exit_code_of, explanation
from trackside.client import errors
from trackside.client.errors import ErrorFacts, FieldViolation
from trackside_protos.errors.v1.error_reason_pb2 import ErrorReason

_STATUSES = {
    "NOT_ALLOWED": "PERMISSION_DENIED",
    "RUN_DELETED": "NOT_FOUND",
    "TOO_MANY_ITEMS": "RESOURCE_EXHAUSTED",
}
"""The statuses of reasons whose next step follows from the kind of error."""


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.ServerFailedError("x"), ExitCode.ERROR),
        (errors.OverloadedError("x"), ExitCode.ERROR),
        (errors.InvalidRequestError("x"), ExitCode.USAGE),
        (errors.AmbiguousNameError("x", {}), ExitCode.USAGE),
        (errors.NotFoundError("x"), ExitCode.NOT_FOUND),
        (errors.TokenRefusedError("x"), ExitCode.NOT_ALLOWED),
        (errors.ConflictError("x"), ExitCode.CONFLICT),
        (errors.ServerUnreachableError("x"), ExitCode.UNREACHABLE),
        (errors.CallTimeoutError("x"), ExitCode.TIMEOUT),
        (CommandError("x", code=ExitCode.USAGE), ExitCode.USAGE),
        (click.UsageError("x"), ExitCode.USAGE),
        (OSError("x"), ExitCode.ERROR),
    ],
)
def test_each_kind_of_error_has_its_exit_code(error: Exception, code: ExitCode) -> None:
    assert exit_code_of(error) == code


def test_an_error_is_told_in_one_line_with_fields_hint_and_request_id() -> None:
    facts = ErrorFacts(fields=[FieldViolation("run.name", "too long")], request_id="e42")
    error = errors.InvalidRequestError("The request is wrong.", facts, hint="make it shorter")

    assert explanation(error) == [
        "error: The request is wrong.",
        "  run.name: too long",
        "hint: make it shorter",
        "request id: e42",
    ]


def test_a_wrong_field_that_the_sentence_tells_is_not_told_again() -> None:
    facts = ErrorFacts(fields=(FieldViolation("run.name", "is empty"),))

    error = errors.InvalidRequestError("run.name: is empty", facts)

    assert explanation(error) == ["error: run.name: is empty"]


def test_what_is_wrong_with_a_file_is_told_by_its_name(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        (tmp_path / "away").read_bytes()

    assert explanation(caught.value) == [f"error: {tmp_path}/away: no such file or directory"]


_OF_PRODUCERS = {
    "INVALID_PAGE_TOKEN",
    "MALFORMED_MESSAGE",
    "ILLEGAL_TRANSITION",
    "BATCH_GAP",
    "BATCH_CONFLICT",
    "STALE_EPOCH",
    "AGENT_REPLACED",
    "CALL_TOO_LONG",
    "STREAM_IDLE",
    "SLOW_CONSUMER",
}
"""What no command can bring about: programs and agents deal with it by themselves."""


@pytest.mark.parametrize(
    ("reason", "status"),
    [
        (name.removeprefix("ERROR_REASON_"), "NOT_FOUND" if "NOT_FOUND" in name else "")
        for name, number in ErrorReason.items()
        if number
    ],
)
def test_every_reason_that_a_command_may_meet_has_a_next_step(reason: str, status: str) -> None:
    status = status or _STATUSES.get(reason, "INTERNAL")
    error = errors.error_of("x", ErrorFacts(reason=reason, status=status, request_id="e42"))

    told = explanation(error)

    assert told[-1] == "request id: e42"
    # A wrong field says itself what would be right.
    assert any(line.startswith("hint: ") for line in told) or reason in {
        "INVALID_FIELD",
        *_OF_PRODUCERS,
    }


def test_what_a_server_says_is_made_harmless() -> None:
    assert explanation(errors.NotFoundError("\x1b[2J", hint="-")) == [
        "error: \\x1b[2J",
        "hint: -",
    ]


def test_an_error_of_the_machine_is_told_without_a_traceback() -> None:
    lines = explanation(PermissionError(13, "Permission denied"))

    assert lines == ["error: PermissionError: [Errno 13] Permission denied"]
