"""The output formats: tables for people; JSON, YAML and names for programs."""

import json
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message

Document = Mapping[str, object]
"""What JSON and YAML show: proto3-JSON under names."""


class Format(StrEnum):
    """What `-o` takes."""

    TABLE = "table"
    WIDE = "wide"
    JSON = "json"
    YAML = "yaml"
    NAME = "name"

    @property
    def is_for_people(self) -> bool:
        """Whether it is a table or page."""
        return self in (Format.TABLE, Format.WIDE)

    @property
    def is_wide(self) -> bool:
        """Whether nothing may be left out or cut off."""
        return self is Format.WIDE


def plain(message: Message) -> Document:
    """Return a message as proto3-JSON has it; fields that are not set have their defaults."""
    return MessageToDict(message, always_print_fields_with_no_presence=True)


def listed(messages: Iterable[Message]) -> Sequence[Document]:
    """Return messages as proto3-JSON has them."""
    return [plain(message) for message in messages]


def document_lines(document: object, output: Format) -> list[str]:
    """Return the lines of a document as JSON or YAML."""
    if output is Format.YAML:
        # Not at the top: it takes as long as everything else that `-o json` needs.
        import yaml  # noqa: PLC0415

        text: str = yaml.safe_dump(document, sort_keys=False, allow_unicode=True)
        return text.splitlines()
    return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False).split("\n")
