"""The sessions that a page shows, and how they are done again and compared.

A session is a block marked `console`. What is typed stands after `$ `, `>>> `, `... `, `[y/N] ` and
`for good: `; `^C` is an interrupt, given when what is shown before it has appeared; `<TAB>` is that
key, and what the page shows after it on that line the shell writes by itself. `trackside get`,
`describe` and `logs` are asked again until they show what the page shows, as a person would who
waits for it. What a command says in passing, states and shares that may be overtaken by the next,
is not compared, nor is the order of lines of a followed run, whose output and states come on two
ways. The frames of a traceback are shown as `  ...`.
"""

import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from support.shown_text import ShownText
from support.terminal_shell import INTERRUPT, TerminalShell

_BLOCK: Final = re.compile(r"^```console\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_ASKING: Final = re.compile(r"^(>>> |\.\.\.(?: |$)|.*(?:\[y/N\]|for good:) )(.*)$")
_READING: Final = re.compile(r"(\S+/)?trackside (get|describe|logs) ")
_FOLLOWING: Final = re.compile(r"(\S+/)?trackside (run|resume|watch) ")
_PASSING: Final = re.compile(
    r"(\S+ )?([○◌●◍] (PENDING|INITIALIZING|RUNNING|STOPPING).*|PENDING.*|RUNNING"
    r"|\d+/\d+ (ended|tasks).*|\d+%.*|(delivered|acknowledged|escalated) \+.*)"
)
_FRAMES: Final = re.compile(r"(?<=most recent call last\):\n)(?: .*\n|\n)+")
_BELL: Final = "\a"
_PATIENCE_SECONDS: Final = 60.0
_MOMENT: Final = 0.2


@dataclass
class Step:
    """One command with what the page shows after it."""

    command: str
    shown: list[str] = field(default_factory=list[str])

    def difference(self, text: ShownText, lines: Sequence[str]) -> str:
        """Return how lines differ from what is shown; empty if they do not."""
        shown, rest = self._lasting(self.shown), self._lasting(lines)
        for wanted in shown:
            candidates = rest if _FOLLOWING.match(self.command) else rest[:1]
            found = next((line for line in candidates if text.is_shown_by(wanted, line)), None)
            if found is None:
                return self._told(f"nothing like {wanted!r}", lines)
            rest.remove(found)
        return self._told(f"not shown: {rest[0]!r}", lines) if rest else ""

    def _lasting(self, lines: Sequence[str]) -> list[str]:
        if _READING.match(self.command):
            return list(lines)
        return [line for line in lines if not _PASSING.fullmatch(line)]

    def _told(self, why: str, lines: Sequence[str]) -> str:
        return "\n".join([f"$ {self.command}", f"  {why}; written was:", *lines])


def sessions(page: str) -> Iterator[list[Step]]:
    """Yield the sessions of a page in Markdown."""
    for block in _BLOCK.findall(page):
        steps: list[Step] = []
        for line in block.splitlines():
            if line.startswith("$ "):
                steps.append(Step(line.removeprefix("$ ")))
            else:
                steps[-1].shown.append(line)
        yield steps


def replay(step: Step, shell: TerminalShell, text: ShownText) -> str:
    """Do a step again and return how what comes differs from what is shown."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while True:
        difference = step.difference(text, _written(step, shell, text))
        may_change = _READING.match(step.command) and time.monotonic() < deadline
        if not (difference and may_change):
            return difference
        time.sleep(_MOMENT)


def _written(step: Step, shell: TerminalShell, text: ShownText) -> list[str]:
    """Type the command, answer as the page does, and return what the terminal shows after it."""
    typed, tab, _ = step.command.partition("<TAB>")
    if tab:
        _complete(shell, text.typed(typed), text.typed(step.command.replace(tab, "")))
    else:
        shell.begin(text.typed(step.command) + "\n")
    before: list[str] = []
    for line in step.shown:
        if asking := _ASKING.match(line):
            shell.wait_until(lambda prompt=asking[1]: _asks(shell, text, prompt))
            shell.type(text.typed(asking[2]) + "\n")
        elif line.startswith("^C"):
            shell.wait_until(lambda last=before[-1:]: _has(shell, text, last))
            shell.type(INTERRUPT)
        before.append(line)
    written = _FRAMES.sub("  ...\n", shell.finished())
    return written.splitlines()[1:]


def _complete(shell: TerminalShell, typed: str, whole: str) -> None:
    """Press the key until the shell has completed the line: a busy server may be too slow once."""
    shell.begin(typed)
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while True:
        shell.type("\t")
        if shell.comes_to(lambda: shell.written.replace(_BELL, "").rstrip() == whole, within=5.0):
            break
        assert time.monotonic() < deadline, f"not completed: {shell.written!r}"
    shell.type("\n")


def _asks(shell: TerminalShell, text: ShownText, prompt: str) -> bool:
    last = shell.written[shell.answered :].rpartition("\n")[2]
    return last.endswith(" ") and text.is_shown_by(prompt, last)


def _has(shell: TerminalShell, text: ShownText, shown: Sequence[str]) -> bool:
    lines = shell.written.splitlines()[1:]
    return all(any(text.is_shown_by(line, one) for one in lines) for line in shown)
