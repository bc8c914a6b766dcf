"""Makes text of others harmless: no control character and no escape reaches the terminal."""

import re
from typing import Final

# C0, DEL and C1 controls; line and paragraph separators; what turns the direction of text;
# halves of surrogate pairs. A tab is kept where columns do not matter.
_HARMFUL: Final = re.compile(
    "[\x00-\x08\x0a-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]"
)

_HARMFUL_IN_JSON: Final = re.compile(
    "[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]"
)
"""What JSON itself does not write out; all of it below U+10000."""


def harmless(text: str) -> str:
    r"""Return `text` on one line, with `\x1b` and the like written out."""
    return text if text.isprintable() else _HARMFUL.sub(_written_out, text)


def harmless_cell(text: str) -> str:
    """Return `text` as `harmless` does, with blanks for tabs so that columns stay straight."""
    return harmless(text.replace("\t", " "))


def harmless_json(text: str) -> str:
    """Return a JSON text that says the same, with C1 controls and the like written out."""
    return _HARMFUL_IN_JSON.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def _written_out(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape", "surrogatepass").decode("ascii")
