"""Revocations of tokens, one line each."""

from collections.abc import Sequence
from datetime import datetime

from trackside.cli.paint import Paint
from trackside.cli.safe_text import harmless_cell
from trackside.cli.tables import table
from trackside.cli.times import ago
from trackside_protos.runs.v1.revocation_pb2 import Revocation


def revocation_table(
    revocations: Sequence[Revocation], now: datetime, paint: Paint, *, width: int | None = None
) -> list[str]:
    """Return a table of revocations."""
    rows = [
        [
            revocation.token_id or "all until then",
            harmless_cell(revocation.subject) or "whose it is",
            ago(revocation.revoke_time, now),
            harmless_cell(revocation.requester),
            f"{revocation.expire_time.ToDatetime():%Y-%m-%dT%H:%M:%SZ}",
        ]
        for revocation in revocations
    ]
    headers = ["TOKEN", "SUBJECT", "REVOKED", "BY", "KEPT UNTIL"]
    return table(headers, rows, paint, width=width, flexible=["SUBJECT", "BY"])
