"""The revocations that are kept: written with positions of the list of changes, read and dropped.

They share the positions of changes, so that one cursor serves the whole directory.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, RowMapping, delete, func, select

from trackside_journal.dialects import upsert
from trackside_protos.runs.v1.revocation_pb2 import Revocation
from trackside_runs.storage.fact_tables import REVOCATION

_C: Final = REVOCATION.c


@dataclass(frozen=True, slots=True)
class Placed:
    """A revocation, and where it stands in the list of changes."""

    position: int
    revocation: Revocation


class RevocationBook:
    """What one transaction revokes."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._revocations: dict[tuple[str, str], Revocation] = {}

    def __len__(self) -> int:
        return len(self._revocations)

    def find(self, token_id: str, subject: str) -> Revocation | None:
        """Return what is kept of a token or a subject."""
        if (token_id, subject) in self._revocations:
            return self._revocations[token_id, subject]
        found = self._connection.execute(
            select(REVOCATION).where(_C.token_id == token_id, _C.subject == subject)
        )
        row = found.mappings().one_or_none()
        return None if row is None else _revocation(row)

    def count_of(self, requester: str) -> int:
        """Return how many revocations by somebody are kept, those of this transaction too."""
        found = self._connection.execute(
            select(func.count()).select_from(REVOCATION).where(_C.requester == requester)
        )
        return found.scalar_one() + len(self._revocations)

    def put(self, revocation: Revocation) -> None:
        """Keep a revocation, instead of the one of the same token or subject if there is one."""
        self._revocations[revocation.token_id, revocation.subject] = revocation

    def write(self, first_position: int) -> None:
        """Write everything; each gets a place from the first position on."""
        if self._revocations:
            self._connection.execute(
                upsert(self._connection, REVOCATION),
                [
                    {
                        "token_id": revocation.token_id,
                        "subject": revocation.subject,
                        "position": first_position + index,
                        "latest_issue_ms": revocation.latest_issue_time.ToMilliseconds(),
                        "expire_ms": revocation.expire_time.ToMilliseconds(),
                        "revoke_ms": revocation.revoke_time.ToMilliseconds(),
                        "requester": revocation.requester,
                    }
                    for index, revocation in enumerate(self._revocations.values())
                ],
            )


def after(connection: Connection, position: int, *, limit: int) -> Sequence[Placed]:
    """Return what was revoked after a position, in order."""
    found = connection.execute(
        select(REVOCATION).where(_C.position > position).order_by(_C.position).limit(limit)
    )
    return _placed(found.mappings().all())


def before(
    connection: Connection, position: int | None, *, subject: str | None, limit: int
) -> Sequence[Placed]:
    """Return what was revoked before a position, the latest first.

    Args:
        connection: A reader's.
        position: None: before now.
        subject: Whose tokens; None: everybody's.
        limit: How many at most.
    """
    statement = select(REVOCATION).order_by(_C.position.desc()).limit(limit)
    if position is not None:
        statement = statement.where(_C.position < position)
    if subject is not None:
        statement = statement.where(_C.subject == subject)
    return _placed(connection.execute(statement).mappings().all())


def forget_expired(connection: Connection, now_ms: int) -> None:
    """Drop what no token is left for."""
    connection.execute(delete(REVOCATION).where(_C.expire_ms <= now_ms))


def _placed(rows: Sequence[RowMapping]) -> Sequence[Placed]:
    return [Placed(row["position"], _revocation(row)) for row in rows]


def _revocation(row: RowMapping) -> Revocation:
    revocation = Revocation(
        token_id=row["token_id"], subject=row["subject"], requester=row["requester"]
    )
    if row["latest_issue_ms"]:
        revocation.latest_issue_time.FromMilliseconds(row["latest_issue_ms"])
    revocation.expire_time.FromMilliseconds(row["expire_ms"])
    revocation.revoke_time.FromMilliseconds(row["revoke_ms"])
    return revocation
