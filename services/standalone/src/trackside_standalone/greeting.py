"""What `trackside up` says to whoever started it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from trackside_serving.home import Home

READY: Final = "Trackside listens at"
"""How the first line begins. It is written when calls are answered, so programs may wait for it."""

USUAL_ADDRESS: Final = "127.0.0.1:8750"


def opening(address: str, home: Home, log: Path) -> Iterator[str]:
    """Yield what can be said as soon as the server listens."""
    yield f"{READY} {address}"
    yield f"  token   {home.token_file} (found by `trackside` itself on this machine)"
    yield f"  log     {log}"


def agent_line(pid: int, *, was_running: bool) -> str:
    """Return which agent works for the server."""
    return f"  agent   process {pid}, {'found running' if was_running else 'started'}"


def advice(address: str) -> Iterator[str]:
    """Yield what to try."""
    if address != USUAL_ADDRESS:
        yield f"  clients need  export TRACKSIDE_SERVER={address}"
    yield "Try, in another terminal:"
    yield "  trackside run -- echo hello"
    yield "  trackside get runs"
    yield "Ctrl-C ends server and agent; runs go on."
