"""Where a service that keeps a record of each run works when it is a process of its own."""

from trackside_journal.records import Surroundings
from trackside_protos.runs.v1.runs_service_pb2 import (
    ConfirmDeletionResponse,
    WatchRunDirectoryResponse,
)
from trackside_serving import apart
from trackside_serving.places import RUNS


def surroundings_apart(process: apart.Surroundings) -> Surroundings:
    """Return the surroundings of a service that asks RunsService over the wire."""
    runs = process.remote(RUNS)
    return Surroundings(
        database_url=process.database_url,
        server_id=process.credentials.server_id,
        redis_url=process.redis_url,
        watch_directory=runs.stream_for_service(
            f"/{RUNS}/WatchRunDirectory", WatchRunDirectoryResponse
        ),
        confirm_deletion=runs.call_for_service(f"/{RUNS}/ConfirmDeletion", ConfirmDeletionResponse),
        revocations=process.credentials.verifier.revocations,
    )
