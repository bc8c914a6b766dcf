"""What a series is told apart by: its key and context, checked once and then remembered."""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, cast

from google.protobuf.message import DecodeError

from trackside_protos.metrics.v1 import series_pb2

KEY_CHARACTERS: Final = 256
CONTEXT_KEYS: Final = 32
CONTEXT_KEY_CHARACTERS: Final = 128
CONTEXT_VALUE_CHARACTERS: Final = 4096

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_REMEMBERED_BYTES: Final = 16 << 20
_OVERHEAD_BYTES: Final = 600
_DIGEST_BYTES: Final = 16


@dataclass(frozen=True, slots=True, eq=False)
class Identity:
    """A key and a context. Two are the same when their digests are."""

    key: str
    context: str
    """The context as JSON, its keys in order."""
    digest: bytes
    prefix: bytes
    """The two as they stand in a block."""

    @property
    def context_map(self) -> Mapping[str, str]:
        """The context."""
        return cast("dict[str, str]", json.loads(self.context))

    @property
    def order(self) -> tuple[str, str]:
        """By what lists of series are ordered."""
        return self.key, self.context


def identity_of(key: str, context: Mapping[str, str]) -> Identity:
    """Return the identity of a series."""
    ordered = {name: context[name] for name in sorted(context)}
    text = json.dumps(ordered, ensure_ascii=False, separators=(",", ":"))
    digest = hashlib.blake2b(f"{key}\0{text}".encode(), digest_size=_DIGEST_BYTES).digest()
    prefix = series_pb2.PointBlock(key=key, context=ordered).SerializeToString(deterministic=True)
    return Identity(key, text, digest, prefix)


def faults_of(key: str, context: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield the fields of an identity that are wrong, and what is wrong with each."""
    if not 1 <= len(key) <= KEY_CHARACTERS or _CONTROL.search(key):
        yield "key", f"not 1 to {KEY_CHARACTERS} characters without control characters"
    if len(context) > CONTEXT_KEYS:
        yield "context", f"more than {CONTEXT_KEYS} keys"
    if not all(0 < len(name) <= CONTEXT_KEY_CHARACTERS for name in context):
        yield "context", f"a key is not 1 to {CONTEXT_KEY_CHARACTERS} characters"
    if any(len(value) > CONTEXT_VALUE_CHARACTERS for value in context.values()):
        yield "context", f"a value is longer than {CONTEXT_VALUE_CHARACTERS} characters"


class Identities:
    """Identities that were seen, for all threads. Forgets all when it has too many."""

    def __init__(self) -> None:
        self._known: dict[bytes, Identity] = {}
        self._stored: dict[tuple[str, str], Identity] = {}
        self._numbered: dict[tuple[str, int], Identity] = {}
        self._bytes = 0

    def known(self, prefix: bytes) -> Identity | None:
        """Return the identity of a prefix that was found right before."""
        return self._known.get(prefix)

    def of(self, prefix: bytes) -> Identity | None:
        """Return the identity that a prefix encodes; None when it is none that is right."""
        identity = self._known.get(prefix)
        return identity if identity is not None else self._read(prefix)

    def _read(self, prefix: bytes) -> Identity | None:
        try:
            block = series_pb2.PointBlock.FromString(prefix)
        except DecodeError:
            return None
        key, context = block.key, block.context
        if next(faults_of(key, context), None) is not None:
            return None
        if series_pb2.PointBlock(key=key, context=context).ByteSize() != len(prefix):
            return None  # there is something else in it, or something twice
        identity = identity_of(key, context)
        self._make_room(identity)
        self._known[prefix] = identity
        return identity

    def stored(self, key: str, context: str) -> Identity:
        """Return the identity of a series as it is stored."""
        identity = self._stored.get((key, context))
        if identity is None:
            identity = identity_of(key, cast("dict[str, str]", json.loads(context)))
            self._make_room(identity)
            self._stored[key, context] = identity
        return identity

    def numbered(self, run_id: str, number: int) -> Identity | None:
        """Return the identity of a series of a run, if `remember` was told of it."""
        return self._numbered.get((run_id, number))

    def remember(self, run_id: str, number: int, identity: Identity) -> None:
        """Remember the number of a series of a run, which never changes."""
        self._make_room(identity)
        self._numbered[run_id, number] = identity

    def _make_room(self, identity: Identity) -> None:
        cost = 2 * len(identity.prefix) + len(identity.context) + _OVERHEAD_BYTES
        if self._bytes + cost > _REMEMBERED_BYTES:
            self._known, self._stored, self._numbered, self._bytes = {}, {}, {}, 0
        self._bytes += cost
