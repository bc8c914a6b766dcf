"""Compares what a program wrote with what a page shows, up to what differs from time to time.

Each id that a page shows stands for one real id, from its first use to the end of the page.
Times, durations and sizes are told by their shape alone, and columns may be wider or narrower;
`[…]` stands for what only this machine knows.
"""

import re
from collections.abc import Mapping
from typing import Final

_ID: Final = r"[0-9a-hjkmnp-tv-z]{16}"
"""One in some hundred has no digit; those on a page have, so that no word is taken for one."""
_SHAPES: Final[Mapping[str, str]] = {
    "id": rf"\b(?=[a-z]*\d){_ID}\b",
    "instant": r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d+)?Z?",
    "clock": r"\d\d:\d\d:\d\d\.\d+",
    "ago": r"(?:just now|\b\d+ (?:s|min|h|d) ago)",
    "duration": r"\b\d+(?:\.\d+)? (?:s|min|h|d)(?: \d+ (?:s|min|h))?\b",
    "size": r"\b\d+(?:\.\d+)? (?:B|kB|MB|GB)\b",
    "sqlite": r"(?<=sqlite )\d+\.\d+\.\d+",
    "process": r"(?<=process )\d+",
    "changes": r"(?<=changes )\d+",
    "gap": r" {2,}",
    "machine": r"\[…\]",
}
_VARYING: Final = re.compile("|".join(f"(?P<{name}>{shape})" for name, shape in _SHAPES.items()))
_SHORTEST_BEGINNING: Final = 6


class ShownText:
    """What a page shows, and what it stands for here."""

    def __init__(self, places: Mapping[str, str]) -> None:
        """Begin with what is known beforehand.

        Args:
            places: What the page calls something (a host, an address), and what it is here.
        """
        self._places = places
        self._ids: dict[str, str] = {}

    def typed(self, shown: str) -> str:
        """Return what a person types here where the page shows `shown`."""
        text = self._placed(shown)
        for id_shown, id_here in self._ids.items():
            text = text.replace(id_shown, id_here)
        return re.sub(rf"\b[0-9a-z]{{{_SHORTEST_BEGINNING},15}}\b", self._beginning, text)

    def is_shown_by(self, shown: str, line: str) -> bool:
        """Return whether a line is what the page shows; if so, its new ids are known from now."""
        shown = self._placed(shown).rstrip()
        new: list[str] = []

        def pattern(found: re.Match[str]) -> str:
            assert found.lastgroup is not None
            text = found.group()
            if found.lastgroup != "id":
                return ".*" if found.lastgroup == "machine" else _SHAPES[found.lastgroup]
            if text in self._ids or text in new:
                return re.escape(self._ids[text]) if text in self._ids else f"(?P=_{text})"
            new.append(text)
            return f"(?P<_{text}>{_ID})"

        places = _VARYING.finditer(shown)
        regex, end = "", 0
        for place in places:
            regex += re.escape(shown[end : place.start()]) + pattern(place)
            end = place.end()
        match = re.fullmatch(regex + re.escape(shown[end:]), line.rstrip())
        if match is not None:
            self._ids.update({text: match[f"_{text}"] for text in new})
        return match is not None

    def _placed(self, text: str) -> str:
        for shown, here in self._places.items():
            text = re.sub(rf"(?<![\w.]){re.escape(shown)}(?!\w)", lambda _, to=here: to, text)
        return text

    def _beginning(self, word: re.Match[str]) -> str:
        text = word.group()
        known = (here for shown, here in self._ids.items() if shown.startswith(text))
        return next((here[: len(text)] for here in known), text)
