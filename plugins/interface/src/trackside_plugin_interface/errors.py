"""What a runner may raise, so that the host knows what to do.

    RunnerError
    ├── SpecRefusedError         the run FAILS with reason LAUNCH_REFUSED
    ├── EngineUnavailableError   the host waits and tries again
    │   └── NothingLaunchedError ... unless the run is stopped or killed meanwhile
    └── FileUnreadableError      whoever wants to read or delete a file is told so
        ├── FileGoneError            ... and the run's output says it, too
        ├── FileNotRegularError
        ├── FileChangedError
        ├── ReadingUnsupportedError
        └── FileKeptError        the same of who wants to delete one
            ├── FileOutsideError
            ├── UnsafeDirectoryError
            └── DeletionUnsupportedError

Anything else that a runner raises is taken for a fault of the plugin, which is named in
the log; the host tries again as if the engine were unavailable, and gives up a launch
after a few times.
"""


class RunnerError(Exception):
    """The base of what a runner raises on purpose. Its text is shown to people."""


class SpecRefusedError(RunnerError):
    """The engine cannot run this, now or later, for example as the command does not exist."""


class EngineUnavailableError(RunnerError):
    """The engine cannot be reached or has no room now; later it may."""


class NothingLaunchedError(EngineUnavailableError):
    """The same of a launch, by which surely nothing was started, now or before.

    So the run can be ended meanwhile without the engine. Where a launch may have got through
    though no answer came, this is not for certain: then it is `EngineUnavailableError`.
    """


class FileUnreadableError(RunnerError):
    """A published file cannot be read or deleted.

    The text is shown to whoever may see the run: no paths.
    """


class FileGoneError(FileUnreadableError):
    """There is nothing of this name any more."""


class FileNotRegularError(FileUnreadableError):
    """It is a link, or behind one, or a device, a socket or a pipe: such things are left alone."""


class FileChangedError(FileUnreadableError):
    """It was written while it was read; is to be deleted, and not what was published any more."""


class ReadingUnsupportedError(FileUnreadableError):
    """This runner reads no files."""


class FileKeptError(FileUnreadableError):
    """A published file is not deleted."""


class FileOutsideError(FileKeptError):
    """It is not below the run's directory, or on another disk that is mounted there."""


class UnsafeDirectoryError(FileKeptError):
    """The run's directory is one in which nothing is deleted, or not the one that it was."""


class DeletionUnsupportedError(FileKeptError):
    """This runner deletes nothing."""
