"""From errors to what the person is told and to the exit code; light to import."""

import click

from trackside.cli.exit_codes import ExitCode
from trackside.cli.safe_text import harmless
from trackside.client.errors import (
    AmbiguousNameError,
    CallTimeoutError,
    ConflictError,
    InvalidRequestError,
    NotAllowedError,
    NotFoundError,
    ServerUnreachableError,
    TracksideError,
)

_CODES: tuple[tuple[type[TracksideError], ExitCode], ...] = (
    (InvalidRequestError, ExitCode.USAGE),
    (AmbiguousNameError, ExitCode.USAGE),
    (NotFoundError, ExitCode.NOT_FOUND),
    (NotAllowedError, ExitCode.NOT_ALLOWED),
    (ConflictError, ExitCode.CONFLICT),
    (ServerUnreachableError, ExitCode.UNREACHABLE),
    (CallTimeoutError, ExitCode.TIMEOUT),
)


class CommandError(click.ClickException):
    """A command cannot do what was asked; said in one line, with a hint."""

    def __init__(self, message: str, *, hint: str = "", code: ExitCode = ExitCode.ERROR) -> None:
        super().__init__(message)
        self.hint = hint
        self.code = code


def exit_code_of(error: Exception) -> int:
    """Return the exit code that stands for an error."""
    if isinstance(error, CommandError):
        return error.code
    if isinstance(error, click.ClickException):
        return error.exit_code
    return next((code for kind, code in _CODES if isinstance(error, kind)), ExitCode.ERROR)


def explanation(error: Exception) -> list[str]:
    """Return what to tell the person: one line of error, one of hint, never a traceback.

    Of a group without a command it is the group's help.
    """
    match error:
        case TracksideError():
            told = (f"{f.field}: {f.description}" for f in error.fields)
            fields = [f"  {harmless(field)}" for field in told if field != error.message]
            named = [f"request id: {harmless(error.request_id)}"] if error.request_id else []
            return [f"error: {harmless(error.message)}", *fields, *_hint(error.hint), *named]
        case CommandError():
            return [f"error: {harmless(error.message)}", *_hint(error.hint)]
        case click.exceptions.NoArgsIsHelpError():  # whose message is the help
            return error.format_message().splitlines()
        case click.UsageError():
            where = error.ctx.command_path if error.ctx else "trackside"
            return [
                f"error: {harmless(error.format_message())}",
                *_hint(f"`{where} --help` shows what it takes"),
            ]
        case OSError(strerror=str(cause), filename=str(file)):
            message = f"{file}: {cause.lower()}"
        case click.ClickException():
            message = error.format_message()
        case _:
            message = f"{type(error).__name__}: {error}"
    return [f"error: {harmless(message)}"]


def explanation_for(run_id: str, error: Exception) -> list[str]:
    """Return what to tell the person who asked for several runs: the same, and of which one."""
    lines = [line.replace("describe RUN`", f"describe {run_id}`") for line in explanation(error)]
    return [lines[0].replace("error: ", f"error: {run_id}: ", 1), *lines[1:]]


def _hint(hint: str) -> list[str]:
    return [f"hint: {harmless(hint)}"] if hint else []
