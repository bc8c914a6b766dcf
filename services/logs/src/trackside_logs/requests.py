"""What callers ask for, checked: the listing, and where and what a watch is to be."""

import re
from typing import Final

from trackside_logs import page_tokens
from trackside_logs.filters import read_filter
from trackside_logs.listing import Listing
from trackside_protos.logs.v1 import logs_service_pb2
from trackside_serving.errors import InvalidFieldError, Violation

ENTRIES_A_PAGE: Final = 10_000
DEFAULT_PAGE_SIZE: Final = 1000

_RUN_ID: Final = re.compile(r"[0-9a-hjkmnp-tv-z]{16}")


def check_run_id(run_id: str) -> None:
    """Refuse what cannot be the id of a run, so that nobody is asked for it.

    Raises:
        InvalidFieldError: It is none.
    """
    if not _RUN_ID.fullmatch(run_id):
        field = "run_id"
        raise InvalidFieldError.of(field, "not 16 characters of Crockford base32")


def read_listing(request: logs_service_pb2.ListLogsRequest) -> Listing:
    """Return what is asked for.

    Raises:
        InvalidFieldError: A field is wrong.
        InvalidPageTokenError: The token is not one of this request.
    """
    check_run_id(request.run_id)
    ranges = (
        ("after_sequence", request.after_sequence, None),
        ("through_sequence", request.through_sequence, None),
        ("last", request.last, ENTRIES_A_PAGE),
        ("page_size", request.page_size, ENTRIES_A_PAGE),
    )
    violations = [
        Violation(field, "below 0" if limit is None else f"not 0 to {limit}")
        for field, value, limit in ranges
        if value < 0 or (limit is not None and value > limit)
    ]
    if violations:
        first = violations[0]
        raise InvalidFieldError(f"{first.field}: {first.description}", violations=violations)
    return Listing(
        run_id=request.run_id,
        wanted=read_filter(request.filter),
        after=request.after_sequence,
        through=request.through_sequence,
        last=request.last,
        page_size=request.page_size or DEFAULT_PAGE_SIZE,
        start=page_tokens.decode(request),
    )
