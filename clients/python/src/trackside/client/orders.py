"""Which run an order makes: the same one however often it is given."""

from trackside.client.connection import Connection
from trackside.identifiers import identifier_of, new_identifier


def id_of_order(connection: Connection, request_id: str) -> str:
    """Return the id of the run to create; of one order of one person always the same."""
    if not request_id:
        return new_identifier()
    return identifier_of("order", connection.server.subject, request_id)
