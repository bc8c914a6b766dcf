"""Named servers of this user, kept in one file of the config folder that only they may read."""

import json
import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final, cast

from trackside.cli.exit_codes import ExitCode
from trackside.cli.failures import CommandError
from trackside.location import is_on_this_machine

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True, slots=True)
class Profile:
    """A server that has a name here."""

    server: str
    """`host:port` of its gRPC door."""
    token: str = field(default="", repr=False)
    """The token for it; empty on this machine, where the home has one."""


@dataclass(frozen=True, slots=True)
class Profiles:
    """All named servers, and which one is used where nothing else is said."""

    known: Mapping[str, Profile]
    current: str = ""

    def named(self, name: str) -> Profile:
        """Return the profile of that name.

        Raises:
            CommandError: There is none.
        """
        if name not in self.known:
            message = f"there is no profile {name!r}"
            others = ", ".join(sorted(self.known))
            hint = f"profiles: {others}" if others else "`trackside profile add` makes one"
            raise CommandError(message, hint=hint, code=ExitCode.NOT_FOUND)
        return self.known[name]

    def with_profile(self, name: str, profile: Profile) -> "Profiles":
        """Return these and one more, or another one of that name.

        Raises:
            CommandError: The name is none, or the server would get no token, or a wrong one.
        """
        if not _NAME.fullmatch(name):
            message = f"{name!r} is no name: letters, digits, `.`, `_` and `-`, at most 64"
            raise CommandError(message, code=ExitCode.USAGE)
        if not profile.token and not is_on_this_machine(profile.server):
            message = "a server on another machine needs a token"
            hint = "--token-file FILE, or `--token-file -` for stdin"
            raise CommandError(message, hint=hint, code=ExitCode.USAGE)
        return replace(self, known={**self.known, name: profile})

    def without(self, name: str) -> "Profiles":
        """Return these without one.

        Raises:
            CommandError: There is none of that name.
        """
        self.named(name)
        kept = {other: profile for other, profile in self.known.items() if other != name}
        return Profiles(kept, "" if self.current == name else self.current)

    def using(self, name: str) -> "Profiles":
        """Return these with another current one; none for an empty name.

        Raises:
            CommandError: There is none of that name.
        """
        if name:
            self.named(name)
        return replace(self, current=name)


def profiles_file(environment: Mapping[str, str]) -> Path:
    """Return where profiles are kept: below `TRACKSIDE_CONFIG`, else the platform's folder."""
    if folder := environment.get("TRACKSIDE_CONFIG"):
        return Path(folder).expanduser() / "profiles.json"
    from platformdirs import user_config_path  # noqa: PLC0415  # costs more than the file

    return user_config_path("trackside") / "profiles.json"


def read_profiles(file: Path) -> Profiles:
    """Return the profiles of a file; none if there is no file.

    Raises:
        CommandError: The file cannot be read.
    """
    try:
        document = cast("dict[str, Any]", json.loads(file.read_text("utf-8")))
        known = {name: Profile(**entry) for name, entry in document["profiles"].items()}
        return Profiles(known, document["current"])
    except FileNotFoundError:
        return Profiles({})
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        message = f"cannot read the profiles in {file}: {error}"
        hint = "mend the file, or remove it and add the profiles again"
        raise CommandError(message, hint=hint) from error


def write_profiles(file: Path, profiles: Profiles) -> None:
    """Keep profiles, whole or not at all, readable by this user only."""
    known = {name: asdict(profile) for name, profile in sorted(profiles.known.items())}
    text = json.dumps({"current": profiles.current, "profiles": known}, indent=2)
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    unfinished = file.with_name(f".{file.name}.{os.urandom(4).hex()}")
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as written:
        written.write(text + "\n")
    unfinished.replace(file)
