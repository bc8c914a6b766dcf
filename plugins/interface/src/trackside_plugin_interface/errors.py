"""What a runner may raise, so that the host knows what to do.

    RunnerError
    ├── SpecRefusedError         the run FAILS with reason LAUNCH_REFUSED
    └── EngineUnavailableError   the host waits and tries again

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
