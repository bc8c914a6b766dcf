"""The run that a callback reports to, and the numbers that it may."""

import numbers
from collections.abc import Mapping
from typing import Any, SupportsFloat

from trackside.session.run import Run, silent_run
from trackside.session.start import current_run


def run_or_current(run: Run | None) -> Run:
    """Return the run, else the one that was started last, else one that does nothing."""
    return run or current_run() or silent_run()


def numbers_of(values: Mapping[str, Any] | None, prefix: str = "") -> dict[str, float]:
    """Return what of the values are numbers, those of numpy and the like too."""
    found: dict[str, float] = {}
    for key, value in (values or {}).items():
        is_scalar = isinstance(value, numbers.Number) or getattr(value, "ndim", None) == 0
        if is_scalar and isinstance(value, SupportsFloat):
            found[f"{prefix}{key}"] = float(value)
    return found
