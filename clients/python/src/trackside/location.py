"""Where the server is, what to show it, and where files of this user are kept."""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

DEFAULT_SERVER: Final = "127.0.0.1:8750"
"""The address that `trackside up` serves gRPC on."""

HOME: Final = "home"
"""The destination of what is meant for the server of a home, wherever it listens."""


@dataclass(frozen=True, slots=True)
class Location:
    """A server's address, the token for it, and the home folder."""

    server: str
    """`host:port` of the gRPC door."""
    token: str = field(repr=False)
    """The token to send; empty: that of the home. See `current_token`."""
    home: Path
    """The folder of this user's Trackside files. It need not exist."""

    @property
    def destination(self) -> str:
        """What is reported to this server belongs to, also when it listens elsewhere later.

        That is `HOME` for the server of this home, of which the token tells, else its address.
        """
        is_of_home = self.token in ("", read_token(self.home))
        return HOME if is_of_home and is_on_this_machine(self.server) else self.server

    def current_token(self) -> str:
        """Return the token to send now; empty when there is none yet.

        That of the home is looked up each time: the server may be started for the first time
        after a program, and makes another token when that one was revoked.
        """
        return self.token or read_token(self.home)


def is_on_this_machine(address: str) -> bool:
    """Return whether an address, `host:port` or `unix:path`, cannot be another machine's."""
    if address.startswith("unix:"):
        return True
    host = address.rpartition(":")[0]
    is_loopback_v4 = host.startswith("127.") and host.replace(".", "").isdigit()
    return is_loopback_v4 or host in ("localhost", "[::1]")


def discover() -> Location:
    """Return the location that the environment describes.

    `TRACKSIDE_SERVER`, `TRACKSIDE_TOKEN` and `TRACKSIDE_HOME` decide; without them the server is
    the local one, the token is that of the file `token` in the home, and the home is the
    platform's folder for user data. Makes no files and no connections.
    """
    return Location(
        server=os.environ.get("TRACKSIDE_SERVER", "").strip() or DEFAULT_SERVER,
        token=os.environ.get("TRACKSIDE_TOKEN", "").strip(),
        home=_home(),
    )


def read_token(home: Path) -> str:
    """Return the token of the local user in this home, or an empty text."""
    try:
        return (home / "token").read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return ""


def default_home() -> Path:
    """Return the home of programs whose environment names none."""
    # Not at the top: it takes a tenth of the time in which `import trackside` must be done.
    from platformdirs import user_data_path  # noqa: PLC0415

    return user_data_path("trackside")


def _home() -> Path:
    if named := os.environ.get("TRACKSIDE_HOME"):
        return Path(named).expanduser().absolute()
    return default_home()
