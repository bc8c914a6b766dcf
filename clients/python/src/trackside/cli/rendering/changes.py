"""What there is to say when a run has changed: one line a change, never the same twice."""

from typing import Final

from trackside.cli.paint import Paint, Style
from trackside.cli.rendering.pages import result_text
from trackside.cli.rendering.progress import doing_text, progress_text
from trackside.cli.rendering.runs import duration_text, exit_text, state_text
from trackside.cli.safe_text import harmless
from trackside.client.states import has_ended, reason_word
from trackside_protos.runs.v1.run_pb2 import Run

_CALM: Final = 1.0
"""Seconds between two lines about progress alone."""


class RunChanges:
    """Remembers what was said of one run."""

    def __init__(self, label: str, paint: Paint) -> None:
        self._label = label
        self._paint = paint
        self._state = ""
        self._progress = ""
        self._progress_at = float("-inf")

    def lines(self, run: Run, at: float) -> list[str]:
        """Return what is new.

        Args:
            run: The run as it is now.
            at: The present, on a clock that only goes forward.
        """
        state = state_text(run, Paint()).text
        if state != self._state:
            self._state = state
            return [self._line(self._state_text(run))]
        progress = _progress(run)
        if not progress or progress == self._progress or at - self._progress_at < _CALM:
            return []
        self._progress, self._progress_at = progress, at
        return [self._line(progress)]

    def _line(self, text: str) -> str:
        return f"{self._paint.text(self._label, Style.FAINT)} {text}" if self._label else text

    def _state_text(self, run: Run) -> str:
        word = self._paint.apply(state_text(run, self._paint))
        why = [run.state_message.rstrip(".") or reason_word(run.state_reason)]
        if has_ended(run):
            exit_ = "" if run.state_message else exit_text(run)
            why += [f"exit {exit_}" if exit_ else "", duration_text(run), result_text(run.result)]
            why.append(_error_text(run))
        said = ", ".join(harmless(part) for part in why if part)
        return f"{word} {said}" if said else word


def _error_text(run: Run) -> str:
    """Return the error with its kind, unless it says what the state says already."""
    is_news = run.HasField("error") and run.error.message != run.state_message
    return f"{run.error.kind}: {run.error.message}" if is_news else ""


def _progress(run: Run) -> str:
    if has_ended(run):
        return ""
    return " ".join(part for part in (progress_text(run), doing_text(run)) if part)
