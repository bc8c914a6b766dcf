"""The calls of RunsService that revoke tokens, and list what is revoked."""

from collections.abc import Mapping
from typing import Final, cast

from sqlalchemy import Connection

from trackside_journal.committer import Committer
from trackside_journal.database import Database
from trackside_protos.runs.v1 import runs_service_pb2
from trackside_runs.listing import page_size
from trackside_runs.page_keys import key_before, token_after
from trackside_runs.registry import Change, Work
from trackside_runs.revoking import Revoked, revoke, wanted
from trackside_runs.storage import revocations
from trackside_runs.storage.revocations import RevocationBook
from trackside_serving.calls import Call, Implementation
from trackside_serving.clock import ClockMs, wall_ms
from trackside_serving.identity import Role
from trackside_serving.revocations import revocation_of
from trackside_serving.tokens import TokenVerifier

_DEFAULT_PAGE: Final = 100
_LARGEST_PAGE: Final = 1000


class RevocationCalls:
    """Answers what is asked of tokens."""

    def __init__(
        self,
        database: Database,
        committer: Committer[Work],
        verifier: TokenVerifier,
        clock_ms: ClockMs,
    ) -> None:
        self._database = database
        self._committer = committer
        self._verifier = verifier
        self._clock_ms = clock_ms

    @property
    def handlers(self) -> Mapping[str, Implementation]:
        """The implementations by method."""
        return {"RevokeToken": self.revoke_token, "ListRevocations": self.list_revocations}

    async def revoke_token(
        self, request: runs_service_pb2.RevokeTokenRequest, call: Call
    ) -> runs_service_pb2.RevokeTokenResponse:
        asked = wanted(request, call.caller, self._verifier)

        def look(connection: Connection) -> Revoked:
            known = asked.known(RevocationBook(connection))
            return Revoked(known or asked.revocation(self._now_ms()), existed=known is not None)

        if request.validate_only:
            revoked = await self._database.read(look)
        else:
            change = Change((), lambda ledger: revoke(ledger, asked, self._now_ms()))
            revoked = cast("Revoked", await self._committer.commit(change))
            # Not only by the bus: whoever is answered may rely on it here.
            self._verifier.revocations.add([revocation_of(revoked.revocation)])
        return runs_service_pb2.RevokeTokenResponse(
            revocation=revoked.revocation, existed=revoked.existed
        )

    def _now_ms(self) -> int:
        """Return the present for tokens: none that was made up to here is made later than it."""
        return max(self._clock_ms(), wall_ms())

    async def list_revocations(
        self, request: runs_service_pb2.ListRevocationsRequest, call: Call
    ) -> runs_service_pb2.ListRevocationsResponse:
        size = page_size(request.page_size, default=_DEFAULT_PAGE, largest=_LARGEST_PAGE)
        subject = None if call.caller.role is Role.ADMIN else call.caller.subject
        key = key_before(request, [int], subject=subject or "")
        found = await self._database.read(
            lambda connection: revocations.before(
                connection,
                None if key is None else cast("int", key[0]),
                subject=subject,
                limit=size + 1,
            )
        )
        response = runs_service_pb2.ListRevocationsResponse(
            revocations=[placed.revocation for placed in found[:size]]
        )
        if len(found) > size:
            last = [found[size - 1].position]
            response.next_page_token = token_after(last, request, subject=subject or "")
        return response
