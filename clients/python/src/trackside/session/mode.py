"""What the environment says of how this program reports."""

import os
from enum import StrEnum


class Mode(StrEnum):
    """How runs are reported."""

    ONLINE = "online"
    """To the server, as it happens; kept while that is away."""
    OFFLINE = "offline"
    """Kept only; delivered by a later program or by `trackside sync`."""
    DISABLED = "disabled"
    """Not at all: every call does nothing."""


def mode() -> Mode:
    """Return the mode that `TRACKSIDE_MODE` names; by default online.

    Raises:
        ValueError: It names none.
    """
    named = os.environ.get("TRACKSIDE_MODE", "").strip().lower() or Mode.ONLINE
    try:
        return Mode(named)
    except ValueError:
        words = ", ".join(Mode)
        message = f"TRACKSIDE_MODE is {named!r}, and may be one of: {words}"
        raise ValueError(message) from None


def exit_timeout() -> float | None:
    """Return the seconds that `TRACKSIDE_EXIT_TIMEOUT` allows at the end; None if it is silent."""
    try:
        return max(0.0, float(os.environ["TRACKSIDE_EXIT_TIMEOUT"]))
    except (KeyError, ValueError):
        return None


def launched_run_id() -> str:
    """Return the run that this program was launched for; empty if it was started otherwise."""
    return os.environ.get("TRACKSIDE_RUN_ID", "").strip()
