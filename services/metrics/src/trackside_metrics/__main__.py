"""MetricsService as a process of its own: `python -m trackside_metrics`."""

import sys

from trackside_journal import records
from trackside_metrics.bootstrap import MetricsService
from trackside_protos.runs.v1.runs_service_pb2 import (
    ConfirmDeletionResponse,
    ReportFiguresResponse,
    WatchRunDirectoryResponse,
)
from trackside_serving.apart import Built, Surroundings, run_apart
from trackside_serving.places import METRICS, RUNS


def build(surroundings: Surroundings) -> Built:
    """Return the service, which asks RunsService over the wire."""
    runs = surroundings.remote(RUNS)
    service = MetricsService(
        records.Surroundings(
            database_url=surroundings.database_url,
            server_id=surroundings.credentials.server_id,
            redis_url=surroundings.redis_url,
            watch_directory=runs.stream_for_service(
                f"/{RUNS}/WatchRunDirectory", WatchRunDirectoryResponse
            ),
            confirm_deletion=runs.call_for_service(
                f"/{RUNS}/ConfirmDeletion", ConfirmDeletionResponse
            ),
        ),
        runs.call_for_service(f"/{RUNS}/ReportFigures", ReportFiguresResponse),
    )
    return Built(service, [service], service.database.description)


if __name__ == "__main__":
    sys.exit(run_apart(METRICS, build))
