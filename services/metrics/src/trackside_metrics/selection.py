"""Which series are wanted: a filter that has been checked, as a test and as conditions in SQL."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from sqlalchemy import ColumnElement

from trackside_metrics.identities import CONTEXT_KEYS, KEY_CHARACTERS, Identity
from trackside_metrics.tables import SERIES
from trackside_protos.metrics.v1 import metrics_service_pb2
from trackside_serving.errors import InvalidFieldError, Violation

KEYS: Final = 1000
"""How many keys a filter may name."""

TEXT_CHARACTERS: Final = 1024

_RUN_ID: Final = re.compile(r"[0-9a-hjkmnp-tv-z]{16}")
_LAST_CHARACTER: Final = "\U0010ffff"


@dataclass(frozen=True, slots=True)
class Selection:
    """Which series are wanted. `Selection()` wants all."""

    keys: frozenset[str] = frozenset()
    key_prefix: str = ""
    context: tuple[tuple[str, str], ...] = ()
    text: str = ""
    """Case-folded."""

    def __bool__(self) -> bool:
        return self != _EVERYTHING

    def wants(self, identity: Identity) -> bool:
        """Whether a series is wanted."""
        if self.keys and identity.key not in self.keys:
            return False
        if not identity.key.startswith(self.key_prefix):
            return False
        if not self.context and not self.text:
            return True
        context = identity.context_map
        return all(context.get(name) == value for name, value in self.context) and any(
            self.text in shown.casefold()
            for shown in (identity.key, *(f"{name}={value}" for name, value in context.items()))
        )

    def conditions(self) -> Iterator[ColumnElement[bool]]:
        """Yield conditions on rows of series; they may let through what `wants` drops."""
        if self.keys:
            yield SERIES.c.key.in_(sorted(self.keys))
        if self.key_prefix:
            # By code point; no character comes after the last, so it ends all that begin so.
            yield SERIES.c.key >= self.key_prefix
            yield SERIES.c.key <= self.key_prefix + _LAST_CHARACTER * KEY_CHARACTERS


_EVERYTHING: Final = Selection()


def read_selection(message: metrics_service_pb2.SeriesFilter) -> Selection:
    """Return a filter as it was asked for.

    Raises:
        InvalidFieldError: A field is wrong.
    """
    violations = [
        Violation(f"filter.{field}", description) for field, description in _faults(message)
    ]
    if violations:
        first = violations[0]
        raise InvalidFieldError(f"{first.field}: {first.description}", violations=violations)
    return Selection(
        frozenset(message.keys),
        message.key_prefix,
        tuple(sorted(message.context.items())),
        message.text.casefold(),
    )


def _faults(message: metrics_service_pb2.SeriesFilter) -> Iterator[tuple[str, str]]:
    if len(message.keys) > KEYS:
        yield "keys", f"more than {KEYS:,}"
    if not all(map(_may_be_key, message.keys)):
        yield "keys", f"a key is not 1 to {KEY_CHARACTERS} characters, or has U+0000"
    if len(message.key_prefix) > KEY_CHARACTERS or "\0" in message.key_prefix:
        yield "key_prefix", f"longer than {KEY_CHARACTERS} characters, or has U+0000"
    if len(message.context) > CONTEXT_KEYS:
        yield "context", f"more than {CONTEXT_KEYS} keys"
    if len(message.text) > TEXT_CHARACTERS:
        yield "text", f"longer than {TEXT_CHARACTERS:,} characters"


def _may_be_key(key: str) -> bool:
    return 1 <= len(key) <= KEY_CHARACTERS and "\0" not in key


def check_run_id(run_id: str) -> None:
    """Refuse what cannot be the id of a run, so that nobody is asked for it.

    Raises:
        InvalidFieldError: It is none.
    """
    if not _RUN_ID.fullmatch(run_id):
        field = "run_id"
        raise InvalidFieldError.of(field, "not 16 characters of Crockford base32")
