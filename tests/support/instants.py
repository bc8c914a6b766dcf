"""Times as JSON has them."""

from datetime import datetime


def instant(text: str) -> datetime:
    """Return what a text says, for texts with and without fractions compare in no useful order."""
    return datetime.fromisoformat(text)
