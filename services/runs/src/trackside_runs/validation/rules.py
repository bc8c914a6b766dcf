"""Rules that a field's value must keep; a rule notes what is wrong and never raises."""

import math
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from google.protobuf.descriptor import EnumDescriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Struct, Value
from google.protobuf.timestamp_pb2 import Timestamp

from trackside_serving.errors import Violation

MAXIMUM_VIOLATIONS: Final = 16
"""How many violations are collected; more help nobody."""

MAXIMUM_DEPTH: Final = 32
"""How deep structs may be nested."""

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_IDENTIFIER: Final = re.compile(r"[0-9a-hjkmnp-tv-z]{16}")
_EARLIEST_SECONDS: Final = -62_135_596_800
_LATEST_SECONDS: Final = 253_402_300_799
_NANOS: Final = 1_000_000_000


class Violations:
    """What is wrong with a request, in the order in which it was found."""

    def __init__(self) -> None:
        self.found: list[Violation] = []

    def add(self, path: str, description: str) -> None:
        """Note that a field is wrong."""
        if len(self.found) < MAXIMUM_VIOLATIONS:
            self.found.append(Violation(path, description))


Rule = Callable[[Violations, str, Any], None]


@dataclass(frozen=True, slots=True)
class Shape:
    """What a message must be like: a rule for each field that a caller may set."""

    rules: Mapping[str, Rule]
    required: Sequence[str] = ()
    free: Collection[str] = field(default=())
    """Fields without a rule: any value is right, or the server ignores them."""
    _needed: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        """Prepare what every check asks for."""
        object.__setattr__(self, "_needed", frozenset(self.required))

    def __call__(self, violations: Violations, path: str, message: Message) -> None:
        """Note what is wrong with the fields that are set, and which are missing."""
        prefix = f"{path}." if path else ""
        rules = self.rules
        found = 0
        for descriptor, value in message.ListFields():
            name = descriptor.name
            found += name in self._needed
            rule = rules.get(name)
            if rule is not None:
                rule(violations, prefix + name, value)
        if found < len(self._needed):
            present_names = {descriptor.name for descriptor, _ in message.ListFields()}
            for name in sorted(self._needed - present_names):
                violations.add(prefix + name, "is missing")


def anything(_violations: Violations, _path: str, _value: object) -> None:
    """Any value is right."""


def one_line(maximum: int) -> Rule:
    """Return the rule for names and keys: so many characters, none of them a control one."""

    def check(violations: Violations, path: str, value: str) -> None:
        if len(value) > maximum:
            violations.add(path, f"longer than {maximum} characters")
        elif _CONTROL.search(value):
            violations.add(path, "has control characters")

    return check


def text(maximum_bytes: int) -> Rule:
    """Return the rule for free text: so many bytes of UTF-8, and no NUL."""

    def check(violations: Violations, path: str, value: str) -> None:
        # A character has at most four bytes, so most texts need not be encoded.
        if len(value) * 4 > maximum_bytes and len(value.encode()) > maximum_bytes:
            violations.add(path, f"longer than {maximum_bytes} bytes")
        elif "\0" in value:
            violations.add(path, "has a NUL character")

    return check


def sentence(maximum: int) -> Rule:
    """Return the rule for one sentence: so many characters, and no NUL."""

    def check(violations: Violations, path: str, value: str) -> None:
        if len(value) > maximum:
            violations.add(path, f"longer than {maximum} characters")
        elif "\0" in value:
            violations.add(path, "has a NUL character")

    return check


def matching(pattern: str, description: str) -> Rule:
    """Return the rule that a text matches a pattern as a whole."""
    compiled = re.compile(pattern, re.ASCII)

    def check(violations: Violations, path: str, value: str) -> None:
        if not compiled.fullmatch(value):
            violations.add(path, description)

    return check


def identifier(violations: Violations, path: str, value: str) -> None:
    """Check a run id."""
    if not _IDENTIFIER.fullmatch(value):
        violations.add(path, "is not 16 characters of lower-case Crockford base32")


def between(minimum: float, maximum: float = math.inf) -> Rule:
    """Return the rule that a number is finite and within bounds, these included."""
    bounds = f"at least {minimum:,}" if maximum == math.inf else f"{minimum:,} to {maximum:,}"

    def check(violations: Violations, path: str, value: float) -> None:
        if not (math.isfinite(value) and minimum <= value <= maximum):
            violations.add(path, f"is {value:,} and must be {bounds}")

    return check


def known(enum: EnumDescriptor) -> Rule:
    """Return the rule that an enum has a value that is declared."""
    values = frozenset(value.number for value in enum.values)

    def check(violations: Violations, path: str, value: int) -> None:
        if value not in values:
            violations.add(path, f"{value} is no known value")

    return check


def moment(violations: Violations, path: str, value: Timestamp) -> None:
    """Check a time."""
    if not _EARLIEST_SECONDS <= value.seconds <= _LATEST_SECONDS or not 0 <= value.nanos < _NANOS:
        violations.add(path, "is no time of the years 1 to 9999")


def lasting(minimum_seconds: float, maximum_seconds: float) -> Rule:
    """Return the rule that a duration is well formed and within bounds, these included."""
    bounds = f"{_span(minimum_seconds)} to {_span(maximum_seconds)}"

    def check(violations: Violations, path: str, value: Duration) -> None:
        seconds = value.seconds + value.nanos / _NANOS
        if abs(value.nanos) >= _NANOS or value.seconds * value.nanos < 0:
            violations.add(path, "is no duration: seconds and nanos must be of one sign")
        elif not minimum_seconds <= seconds <= maximum_seconds:
            violations.add(path, f"is {_span(seconds)} and must be {bounds}")

    return check


def _span(seconds: float) -> str:
    days, rest = divmod(seconds, 86_400)
    return f"{days:,.0f} days" if days > 1 and not rest else f"{seconds:,.12g} s"


def each(rule: Rule, maximum: int) -> Rule:
    """Return the rule for a list: so many items, each of which keeps a rule."""

    def check(violations: Violations, path: str, values: Sequence[Any]) -> None:
        if len(values) > maximum:
            violations.add(path, f"has more than {maximum} items")
            return
        for index, value in enumerate(values):
            rule(violations, f"{path}[{index}]", value)

    return check


def entries(key_rule: Rule, value_rule: Rule, maximum: int) -> Rule:
    """Return the rule for a map: so many entries, whose keys and values keep rules."""

    def check(violations: Violations, path: str, values: Mapping[str, Any]) -> None:
        if len(values) > maximum:
            violations.add(path, f"has more than {maximum} entries")
            return
        for key in values:
            at = f"{path}[{_shown(key)}]"
            if key:
                key_rule(violations, at, key)
            else:
                violations.add(at, "has an empty key")
            value_rule(violations, at, values[key])

    return check


def present(rule: Rule) -> Rule:
    """Return the rule that a text is not empty and keeps another rule."""

    def check(violations: Violations, path: str, value: str) -> None:
        if value:
            rule(violations, path, value)
        else:
            violations.add(path, "is empty")

    return check


def every(*rules: Rule) -> Rule:
    """Return the rule that all of these are kept."""

    def check(violations: Violations, path: str, value: object) -> None:
        for rule in rules:
            rule(violations, path, value)

    return check


def at_most_bytes(maximum: int) -> Rule:
    """Return the rule that a message's encoded size is bounded."""

    def check(violations: Violations, path: str, value: Message) -> None:
        if value.ByteSize() > maximum:
            violations.add(path, f"is larger than {maximum} bytes")

    return check


def value_within(maximum_bytes: int) -> Rule:
    """Return the rule that a JSON-like value is bounded in size and depth."""

    def check(violations: Violations, path: str, value: Value | Struct) -> None:
        if value.ByteSize() > maximum_bytes:
            violations.add(path, f"is larger than {maximum_bytes} bytes")
        elif _is_deep(value):
            violations.add(path, f"is nested more than {MAXIMUM_DEPTH} levels deep")

    return check


def _is_deep(value: Value | Struct) -> bool:
    level: list[Value] = list(_inside(value))
    for _ in range(MAXIMUM_DEPTH):
        level = [inner for outer in level for inner in _inside(outer)]
        if not level:
            return False
    return True


def _inside(value: Value | Struct) -> Iterable[Value]:
    if isinstance(value, Struct):
        return value.fields.values()
    if value.HasField("struct_value"):
        return value.struct_value.fields.values()
    return value.list_value.values if value.HasField("list_value") else ()


def _shown(key: str) -> str:
    return "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in key[:64])
