"""The exit codes of every command. Scripts rely on them: a code never changes its meaning."""

from collections.abc import Mapping
from enum import IntEnum
from typing import Final


class ExitCode(IntEnum):
    """How a command ended."""

    OK = 0
    ERROR = 1
    USAGE = 2
    NOT_FOUND = 3
    NOT_ALLOWED = 4
    CONFLICT = 5
    UNREACHABLE = 6
    TIMEOUT = 7
    RUN_FAILED = 10
    RUN_TERMINATED = 11
    INTERRUPTED = 130
    PIPE_CLOSED = 141


MEANINGS: Final[Mapping[ExitCode, str]] = {
    ExitCode.OK: "done; of a followed run: it completed",
    ExitCode.ERROR: "failed, for none of the reasons below",
    ExitCode.USAGE: "the command line is wrong, or a question could not be asked",
    ExitCode.NOT_FOUND: "no such run or part of a run, or none that you may see",
    ExitCode.NOT_ALLOWED: "the token is missing, refused, or does not allow it",
    ExitCode.CONFLICT: "the state of the run, or something that exists, forbids it",
    ExitCode.UNREACHABLE: "no server answers",
    ExitCode.TIMEOUT: "the time given was not enough",
    ExitCode.RUN_FAILED: "a followed run failed, whose command gave no exit code or 0",
    ExitCode.RUN_TERMINATED: "a followed run was ended by a user",
    ExitCode.INTERRUPTED: "interrupted by Ctrl-C; what was followed goes on",
    ExitCode.PIPE_CLOSED: "whoever read the output went away",
}
