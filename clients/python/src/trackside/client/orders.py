"""Which run an order makes: the same one however often it is given; and where it begins."""

from pathlib import Path

from trackside.client.connection import Connection
from trackside.client.errors import InvalidRequestError
from trackside.identifiers import identifier_of, new_identifier


def id_of_order(connection: Connection, request_id: str) -> str:
    """Return the id of the run to create; of one order of one person always the same."""
    if not request_id:
        return new_identifier()
    return identifier_of("order", connection.server.subject, request_id)


def work_directory_of(wanted: str) -> str:
    """Return where to start what is ordered on this machine: here, or where is wanted from here.

    Raises:
        InvalidRequestError: It would be here, and this folder does not exist any more.
    """
    try:
        return str(Path.cwd() / wanted)
    except FileNotFoundError:
        if Path(wanted).is_absolute():
            return wanted
        message = "the folder that this is called in does not exist any more"
        hint = "go to one that does, or name a whole path for it to start in"
        raise InvalidRequestError(message, hint=hint) from None
