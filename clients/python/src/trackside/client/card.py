"""A small card for notebooks: HTML without script, in which nothing of a run is taken as HTML."""

from collections.abc import Iterable
from html import escape
from typing import Final

_COLOURS: Final = {
    "COMPLETED": "#1a7f37",
    "FAILED": "#cf222e",
    "TERMINATED": "#9a6700",
    "RUNNING": "#0969da",
}
_OTHER_COLOUR: Final = "#57606a"
_MOST_CHARACTERS: Final = 200

_CARD: Final = (
    '<div style="border:1px solid #d0d7de;border-left:4px solid {colour};border-radius:4px;'
    'padding:6px 10px;margin:4px 0;max-width:40em;font-family:sans-serif">'
    '<div><b>{name}</b> <code>{run_id}</code> <span style="color:{colour}">{state}</span></div>'
    "{bar}{rows}</div>"
)
_BAR: Final = (
    '<div role="img" aria-label="{percent:.0f} percent" style="background:#eaeef2;height:6px;'
    'margin:4px 0"><div style="background:{colour};height:6px;width:{percent:.1f}%"></div></div>'
)
_ROW: Final = (
    '<div style="font-size:smaller"><span style="color:#57606a">{name}</span> {text}</div>'
)


def card(
    run_id: str,
    name: str,
    state: str,
    *,
    percent: float | None = None,
    facts: Iterable[tuple[str, str]] = (),
) -> str:
    """Return the card; facts without a text are left out."""
    colour = _COLOURS.get(state, _OTHER_COLOUR)
    bar = ""
    if percent is not None:
        bar = _BAR.format(percent=min(100.0, max(0.0, percent)), colour=colour)
    return _CARD.format(
        colour=colour,
        run_id=_safe(run_id),
        name=_safe(name),
        state=_safe(state),
        bar=bar,
        rows="".join(
            _ROW.format(name=_safe(fact), text=_safe(text)) for fact, text in facts if text
        ),
    )


def _safe(text: str) -> str:
    cut = text if len(text) <= _MOST_CHARACTERS else f"{text[:_MOST_CHARACTERS]}…"
    return escape(cut)
