"""A service's own copy of the revocations, for when RunsService is away."""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from sqlalchemy import BigInteger, Connection, Table, delete, select
from sqlmodel import Field, SQLModel

from trackside_journal.database import Database
from trackside_journal.dialects import upsert
from trackside_serving.revocations import Revocation, Revocations


class RevocationColumns(SQLModel):
    """The columns of a service's `revocation` table; see `Revocation`."""

    token_id: str = Field(primary_key=True, max_length=16)
    subject: str = Field(primary_key=True)
    latest_issue_ms: int = Field(sa_type=BigInteger)
    expire_ms: int = Field(sa_type=BigInteger)


@dataclass(frozen=True, slots=True)
class RevocationCopy:
    """A table, and what the server knows."""

    table: Table
    known: Revocations

    def store(self, connection: Connection, revocations: Sequence[Revocation]) -> None:
        """Store more, and drop what has expired; called in the transaction."""
        if not revocations:
            return
        now_ms = time.time() * 1000
        connection.execute(delete(self.table).where(self.table.c.expire_ms <= now_ms))
        connection.execute(upsert(connection, self.table), [asdict(each) for each in revocations])

    async def recall(self, database: Database) -> None:
        """Have the server know all that is stored.

        Raises:
            StoreUnavailableError: The store cannot be reached.
        """
        self.known.add(await database.read(self._select))

    def _select(self, connection: Connection) -> list[Revocation]:
        c = self.table.c
        found = connection.execute(select(c.token_id, c.subject, c.latest_issue_ms, c.expire_ms))
        return [Revocation(*row) for row in found]
