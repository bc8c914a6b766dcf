"""The output formats: tables for people; JSON, YAML, CSV and names for programs."""

import json
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import cast

from google.protobuf.message import Message

from trackside.cli.map_order import order_maps
from trackside.cli.safe_text import harmless_json

Document = Mapping[str, object]
"""What JSON and YAML show: proto3-JSON under names."""


class Format(StrEnum):
    """What `-o` takes."""

    TABLE = "table"
    WIDE = "wide"
    JSON = "json"
    JSONL = "jsonl"
    YAML = "yaml"
    CSV = "csv"
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
    """Return a message as proto3-JSON has it, the same text for the same message each time.

    Fields that are not set have their defaults, and maps are in order of their keys.
    """
    # Not at the top: tables do without.
    from google.protobuf.json_format import MessageToDict  # noqa: PLC0415

    document = MessageToDict(message, always_print_fields_with_no_presence=True)
    return order_maps(document, message)


def listed(messages: Iterable[Message]) -> Sequence[Document]:
    """Return messages as proto3-JSON has them."""
    return [plain(message) for message in messages]


def document_lines(document: object, output: Format) -> list[str]:
    """Return the lines of a document as JSON or YAML."""
    if output is Format.YAML:
        # Not at the top: it takes as long as everything else that `-o json` needs.
        import yaml  # noqa: PLC0415

        text: str = yaml.safe_dump(document, sort_keys=False, allow_unicode=True)
        if harmless_json(text) != text:  # YAML leaves what turns the direction of text as it is
            text = yaml.safe_dump(document, sort_keys=False)
        return text.splitlines()
    text = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False)
    return harmless_json(text).split("\n")


def json_line(document: object) -> str:
    """Return a document as JSON on one line."""
    return harmless_json(json.dumps(document, ensure_ascii=False, allow_nan=False))


def csv_lines(messages: Sequence[Message], kind: type[Message]) -> list[str]:
    """Return a header line and a line for each message.

    What is nested has a column `outer.inner`, lists are JSON. The columns of what every
    message of this kind has come first, also when there is no message at all.
    """
    import csv  # noqa: PLC0415  # for this format only
    import io  # noqa: PLC0415  # see above

    rows = [_flat(plain(message)) for message in messages]
    columns = dict.fromkeys([*_flat(plain(kind())), *(key for row in rows for key in row)])
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    # Not `splitlines`, which would cut at a line separator within a value too.
    return text.getvalue().removesuffix("\n").split("\n")


def _flat(document: Document, prefix: str = "") -> dict[str, object]:
    row: dict[str, object] = {}
    for name, value in document.items():
        if isinstance(value, dict):
            row |= _flat(cast("Document", value), f"{prefix}{name}.")
        elif isinstance(value, list):
            row[f"{prefix}{name}"] = json_line(cast("object", value)) if value else ""
        elif isinstance(value, bool):
            row[f"{prefix}{name}"] = "true" if value else "false"
        else:
            row[f"{prefix}{name}"] = value
    return row
