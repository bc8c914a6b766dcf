"""Refusing requests that are wrong whatever the state, with each field that is."""

from collections.abc import Sequence

from trackside_serving.errors import InvalidFieldError, Violation


def require_none(violations: Sequence[Violation]) -> None:
    """Refuse a request if anything is wrong with it; `validation.requests` says what is.

    Raises:
        InvalidFieldError: Something is.
    """
    if violations:
        first = violations[0]
        more = f" (and {len(violations) - 1} more)" if len(violations) > 1 else ""
        raise InvalidFieldError(f"{first.field}: {first.description}{more}", violations=violations)
