"""Shows what does not fit on the screen through a pager."""

import os
import re
import shlex
import shutil
import subprocess
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Final

_COLOUR: Final = re.compile(r"\x1b\[[0-9;]*m")
_DEFAULT: Final = "less"
_LESS_OPTIONS: Final = "FRX"
"""Ends at once where the text fits, keeps colours, and leaves the text on the screen."""


def pager_command(environment: Mapping[str, str]) -> list[str]:
    """Return the pager that somebody wants, as a command; empty for none."""
    named = environment.get("TRACKSIDE_PAGER", environment.get("PAGER", _DEFAULT))
    try:
        words = shlex.split(named)
    except ValueError:  # an open quote
        return []
    return [] if words == ["cat"] or environment.get("TERM") == "dumb" else words


def fits(lines: Sequence[str]) -> bool:
    """Return whether the lines, wrapped where they are too long, leave room for a prompt."""
    screen = shutil.get_terminal_size()
    widths = (len(_COLOUR.sub("", line)) for line in lines)
    return sum(max(1, -(-width // screen.columns)) for width in widths) < screen.lines


def show_paged(lines: Sequence[str]) -> bool:
    """Show lines in the pager until the person leaves it; return whether there is one."""
    command = pager_command(os.environ)
    if not command:
        return False
    environment = {"LESS": _LESS_OPTIONS, **os.environ}
    try:
        pager = subprocess.Popen(  # noqa: S603  # the person's own program
            command, stdin=subprocess.PIPE, env=environment
        )
    except OSError:
        return False
    text = "".join(f"{line}\n" for line in lines).encode("utf-8", "backslashreplace")
    # Ctrl-C is the pager's to deal with. Another thread writes, for only there nothing interrupts.
    feeding = threading.Thread(target=_feed, args=(pager, text), daemon=True)
    feeding.start()
    while True:
        with suppress(KeyboardInterrupt):
            pager.wait()
            return True


def _feed(pager: subprocess.Popen[bytes], text: bytes) -> None:
    assert pager.stdin is not None
    with suppress(BrokenPipeError), pager.stdin:  # a pager that was left reads no more
        pager.stdin.write(text)
