"""Finds the run that people mean: by id, by the beginning of an id, by name, or `@latest`."""

import re
from collections.abc import Sequence
from typing import Final

from trackside.client import filters
from trackside.client.connection import Connection
from trackside.client.errors import AmbiguousNameError, InvalidRequestError, NotFoundError
from trackside.client.states import run_state_word
from trackside.identifiers import ALPHABET, LENGTH
from trackside_protos.runs.v1.run_pb2 import Run
from trackside_protos.runs.v1.runs_service_pb2 import ListRunsRequest

_LATEST: Final = re.compile(r"@latest(?:~([0-9]+))?")
_FARTHEST_BACK: Final = 999
_LONGEST_NAME: Final = 256
_CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
"""What no name has; surrogates stand for bytes that are not UTF-8."""
_READ_ALIKE: Final = str.maketrans("oil", "011")


def resolve_run(connection: Connection, text: str) -> str:
    """Return the id of the run that `text` means.

    `@latest` is the caller's newest run that is no child, `@latest~1` the one before. A
    whole id is taken as it is, without asking the server, unless it could be a word too. A
    name that fits exactly goes before an id or the beginning of one.

    Raises:
        NotFoundError: No run fits.
        AmbiguousNameError: Several do.
        InvalidRequestError: `text` is empty, or begins with `@` and is no `@latest`.
    """
    if not text:
        message = "an empty text names no run"
        raise InvalidRequestError(message)
    prefix = id_prefix(text)
    if is_whole_id(text):
        return prefix
    if text.startswith("@"):
        return _latest(connection, text)
    if len(text) > _LONGEST_NAME or _CONTROL.search(text):
        raise _nothing_fits(text)
    request = ListRunsRequest(filter=filters.named(text, prefix), page_size=100)
    found = connection.call(connection.runs.ListRuns, request).runs
    # Of an id that no list has, the server still knows whether its run was deleted.
    return prefix if len(prefix) == LENGTH and not found else choose(text, prefix, found)


def is_whole_id(text: str) -> bool:
    """Say whether `text` is a run's id, and nothing else: no word."""
    return len(id_prefix(text)) == LENGTH and any(character.isdigit() for character in text)


def id_prefix(text: str) -> str:
    """Return `text` as the beginning of a run's id, look-alikes mended; empty if it is none."""
    mended = text.lower().translate(_READ_ALIKE)
    fits = len(mended) <= LENGTH and all(character in ALPHABET for character in mended)
    return mended if fits else ""


def choose(text: str, prefix: str, found: Sequence[Run]) -> str:
    """Return the id of the one run of `found` that `text` means.

    Raises:
        NotFoundError: None fits.
        AmbiguousNameError: Several do.
    """
    fitting = [run for run in found if run.name == text]
    if not fitting and prefix:
        fitting = [run for run in found if run.run_id.startswith(prefix)]
    if not fitting:
        raise _nothing_fits(text)
    if len(fitting) > 1:
        message = f"{text!r} fits {len(fitting)} runs"
        raise AmbiguousNameError(message, {run.run_id: _told(run) for run in fitting})
    return fitting[0].run_id


def _nothing_fits(text: str) -> NotFoundError:
    shown = text if len(text) <= _LONGEST_NAME else f"{text[:40]}…"
    return NotFoundError(f"no run has the id, the beginning of an id or the name {shown!r}")


def _told(run: Run) -> str:
    created = f"{run.create_time.ToDatetime():%Y-%m-%dT%H:%M:%SZ}"
    return f"{run.name}, {run_state_word(run.state)}, created {created}"


def _latest(connection: Connection, text: str) -> str:
    match = _LATEST.fullmatch(text)
    if match is None:
        message = f"{text!r} is not `@latest` or `@latest~N`"
        raise InvalidRequestError(message)
    back = int((match[1] or "0")[:9])
    if back > _FARTHEST_BACK:
        message = f"{text:.40} goes back too far: `@latest~{_FARTHEST_BACK}` is the farthest"
        raise InvalidRequestError(message)
    mine = filters.equals("owner", connection.server.subject)
    request = ListRunsRequest(
        filter=filters.all_of([mine, filters.without_parent()]), page_size=back + 1
    )
    runs = connection.call(connection.runs.ListRuns, request).runs
    if len(runs) <= back:
        message = f"you have {len(runs)} runs, so there is no {text}"
        raise NotFoundError(message)
    return runs[back].run_id
