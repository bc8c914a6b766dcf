"""Hides secrets among parameters and configuration."""

import re
from collections.abc import Callable, Iterable, MutableMapping
from typing import Final

from google.protobuf.struct_pb2 import Value

from trackside.capture.masking import MASK

_SECRET: Final = re.compile(
    r"(?:^|[^a-z])(?:token|secret|passw(?:or)?d|passphrase|credentials?|(?:api|access|private)_?key)$",
    re.IGNORECASE,
)
"""Names of secrets, and not of such as `tokenizer` or `max_tokens`."""


def hide_secrets(values: MutableMapping[str, Value], mask: Callable[[str], str]) -> None:
    """Mask what is in there by a name that says so, and what `mask` finds in any text."""
    for name, value in values.items():
        if _SECRET.search(name) and value.string_value:
            value.string_value = MASK
        else:
            _mask_all([value], mask)


def _mask_all(values: Iterable[Value], mask: Callable[[str], str]) -> None:
    for value in values:
        match value.WhichOneof("kind"):
            case "string_value":
                value.string_value = mask(value.string_value)
            case "struct_value":
                hide_secrets(value.struct_value.fields, mask)
            case "list_value":
                _mask_all(value.list_value.values, mask)
            case _:
                pass
